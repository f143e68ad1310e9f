package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// A sparse file with the given bytes at these offsets.
func sparseFile(t *testing.T, size int64, contents map[int64][]byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk-flat.vmdk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for offset, bytes := range contents {
		if _, err := f.WriteAt(bytes, offset); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func hashed(t *testing.T, name string) hashes {
	t.Helper()
	found, err := hashDisk(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestOnlyGrainsThatDifferHaveChanged(t *testing.T) {
	before := hashed(t, sparseFile(t, giB, map[int64][]byte{0: {1}, 5 * grain: {2}, 9 * grain: {3}}))
	after := hashed(t, sparseFile(t, giB, map[int64][]byte{0: {1}, 5*grain + 9: {2}, 6 * grain: {7}, 20 * grain: {4}}))
	equal(t, difference(before, after), []extent{{5 * grain, 2 * grain}, {9 * grain, grain}, {20 * grain, grain}})
}

func TestWrittenZerosAreTheSameAsAHole(t *testing.T) {
	hole := hashed(t, sparseFile(t, 4*grain, nil))
	zeros := hashed(t, sparseFile(t, 4*grain, map[int64][]byte{0: make([]byte, 2*grain)}))
	equal(t, len(difference(hole, zeros)), 0)
}

func TestEpochsAddUp(t *testing.T) {
	tracker := newTracker()
	tracker.advance(hashes{1: 1})
	tracker.advance(hashes{1: 1, 2: 1})
	tracker.advance(hashes{1: 1, 2: 1, 3: 1})
	last := tracker.advance(hashes{2: 1, 3: 2})
	equal(t, tracker.between(1, last), []extent{{1 * grain, 3 * grain}})
	equal(t, tracker.between(2, 3), []extent{{3 * grain, grain}})
	equal(t, len(tracker.between(last, last)), 0)
}

func TestAChangeIDIsReadBack(t *testing.T) {
	tracker := newTracker()
	id, epoch, ok := parseChangeID(tracker.changeID(7))
	equal(t, []any{id, epoch, ok}, []any{tracker.id, 7, true})
	for _, bad := range []string{"", "**", tracker.id, tracker.id + "/", tracker.id + "/x", " " + tracker.changeID(1)} {
		if _, _, ok := parseChangeID(bad); ok {
			t.Fatalf("%q was accepted", bad)
		}
	}
}

func TestAnAnswerEndsAtItsLimitOfBytes(t *testing.T) {
	limits := sliceLimits{bytes: 4 * grain, areas: 10}
	areas := []extent{{0, 6 * grain}, {20 * grain, grain}}
	length, within := limits.cut(areas, 0, 30*grain)
	equal(t, length, 4*grain)
	equal(t, within, []extent{{0, 4 * grain}})
	length, within = limits.cut(areas, 4*grain, 30*grain)
	equal(t, length, 4*grain)
	equal(t, within, []extent{{4 * grain, 2 * grain}})
}

func TestAnAnswerEndsBeforeTheFirstAreaTooMany(t *testing.T) {
	limits := sliceLimits{bytes: giB, areas: 2}
	areas := []extent{{0, grain}, {2 * grain, grain}, {4 * grain, grain}}
	length, within := limits.cut(areas, 0, giB)
	equal(t, length, 4*grain)
	equal(t, within, areas[:2])
	length, within = limits.cut(areas, length, giB)
	equal(t, length, giB-4*grain)
	equal(t, within, areas[2:])
}

func TestALoopOverSlicesMissesNothing(t *testing.T) {
	limits := sliceLimits{bytes: 3 * grain, areas: 1}
	areas := []extent{{grain, 5 * grain}, {7 * grain, grain}, {11 * grain, 2 * grain}}
	var seen []extent
	for at := int64(0); at < 14*grain; {
		length, within := limits.cut(areas, at, 14*grain)
		if length <= 0 {
			t.Fatalf("no progress at %d", at)
		}
		seen = append(seen, within...)
		at += length
	}
	equal(t, merge(seen), areas)
}
