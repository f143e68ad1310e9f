package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func noSharing(_, _ *os.File) error { return errors.New("not here") }

func usedBytes(t *testing.T, name string) int64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(name, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Blocks * 512
}

func TestACopyIsEqualAndKeepsItsHoles(t *testing.T) {
	const size = 200 * giB
	data := bytes.Repeat([]byte("dormouse"), 1<<17)
	from := sparseFile(t, size, map[int64][]byte{0: data, 100*giB + 4096: data, size - miB: data})
	to := filepath.Join(t.TempDir(), "copy")
	started := time.Now()
	if err := copyWith(from, to, noSharing); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Fatalf("a sparse copy took %v", took)
	}
	info, err := os.Stat(to)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, info.Size(), int64(size))
	if used := usedBytes(t, to); used > 8*miB {
		t.Fatalf("the copy of 3 MiB uses %d bytes", used)
	}
	equal(t, len(difference(hashed(t, from), hashed(t, to))), 0)
}

func TestAnEmptyDiskIsAllHole(t *testing.T) {
	found, err := dataExtents(sparseFile(t, giB, nil))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, len(found), 0)
}

func TestExtentsAreWholeGrainsWithinTheDisk(t *testing.T) {
	raw := []extent{{4096, 4096}, {grain - 4096, 4096}, {3*grain + 5, 10}, {10*grain + 1, 99}}
	equal(t, wholeGrains(raw, 10*grain+100), []extent{{0, grain}, {3 * grain, grain}, {10 * grain, 100}})
}

func TestAFailedCopyLeavesNoFile(t *testing.T) {
	folder := t.TempDir()
	if err := copySparse(filepath.Join(folder, "missing"), filepath.Join(folder, "copy")); err == nil {
		t.Fatal("no error")
	}
	left, _ := os.ReadDir(folder)
	equal(t, len(left), 0)
}
