package main

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/google/uuid"
)

// One hash for each grain of a disk that holds anything but zeros, by the grain's number.
type hashes map[int64]uint64

var (
	seed      = maphash.MakeSeed()
	zeroGrain = make([]byte, grain)
)

func hashDisk(path string) (hashes, error) {
	extents, err := dataExtents(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found := hashes{}
	buffer := make([]byte, grain)
	for _, e := range extents {
		for at := e.start; at < e.end(); at += grain {
			part := buffer[:min(grain, e.end()-at)]
			if _, err := f.ReadAt(part, at); err != nil && err != io.EOF {
				return nil, err
			}
			if !bytes.Equal(part, zeroGrain[:len(part)]) {
				found[at/grain] = maphash.Bytes(seed, part)
			}
		}
	}
	return found, nil
}

// The grains in which two states of a disk differ. A grain of zeros and a hole are the same.
func difference(before, after hashes) []extent {
	var grains []int64
	for number, hash := range after {
		if before[number] != hash {
			grains = append(grains, number)
		}
	}
	for number := range before {
		if _, still := after[number]; !still {
			grains = append(grains, number)
		}
	}
	slices.Sort(grains)
	areas := make([]extent, 0, len(grains))
	for _, number := range grains {
		areas = append(areas, extent{number * grain, grain})
	}
	return merge(areas)
}

// Sorts areas and joins those that touch or overlap.
func merge(areas []extent) []extent {
	slices.SortFunc(areas, func(a, b extent) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return 0
	})
	var merged []extent
	for _, e := range areas {
		if last := len(merged) - 1; last >= 0 && merged[last].end() >= e.start {
			merged[last].length = max(merged[last].end(), e.end()) - merged[last].start
			continue
		}
		merged = append(merged, e)
	}
	return merged
}

// What vSphere's change tracking file (ctk) does for a disk, with the difference that it looks at contents: a grain that was
// written with what it held before is not reported. It knows each epoch's changes by itself, so that a base snapshot's
// deletion loses nothing.
type tracker struct {
	mu      sync.Mutex
	id      string // the part of a changeId before the slash
	epoch   int
	last    hashes
	changed map[int][]extent // by epoch: what differs from the epoch before
}

func newTracker() *tracker {
	id := uuid.New()
	return &tracker{id: fmt.Sprintf("% x-% x", id[:8], id[8:]), changed: map[int][]extent{}}
}

// Starts an epoch with a new snapshot's contents and names it.
func (t *tracker) advance(now hashes) (epoch int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	if t.epoch > 1 {
		t.changed[t.epoch] = difference(t.last, now)
	}
	t.last = now
	return t.epoch
}

func (t *tracker) changeID(epoch int) string { return fmt.Sprintf("%s/%d", t.id, epoch) }

// All that changed after one epoch up to and including another.
func (t *tracker) between(after, until int) []extent {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []extent
	for epoch := after + 1; epoch <= until; epoch++ {
		all = append(all, t.changed[epoch]...)
	}
	return merge(all)
}

var changeIDForm = regexp.MustCompile(`^([0-9a-f]{2}(?: [0-9a-f]{2}){7}-[0-9a-f]{2}(?: [0-9a-f]{2}){7})/(\d{1,9})$`)

func parseChangeID(text string) (id string, epoch int, ok bool) {
	parts := changeIDForm.FindStringSubmatch(text)
	if parts == nil {
		return "", 0, false
	}
	epoch, err := strconv.Atoi(parts[2])
	return parts[1], epoch, err == nil
}

// How much one answer about changed areas covers; a client has to ask again for the rest.
type sliceLimits struct {
	bytes int64
	areas int
}

// Cuts the answer for one call: the areas in [start, start+length), and that length.
func (l sliceLimits) cut(areas []extent, start, capacity int64) (length int64, within []extent) {
	end := min(start+l.bytes, capacity)
	for _, e := range areas {
		from, to := max(e.start, start), min(e.end(), end)
		if from >= to {
			continue
		}
		if len(within) == l.areas {
			end = from
			break
		}
		within = append(within, extent{from, to - from})
	}
	return end - start, within
}
