package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	kiB = int64(1) << 10
	miB = int64(1) << 20
	giB = int64(1) << 30

	// The unit in which vSphere tracks changes of a disk.
	grain = 64 * kiB
)

// A run of bytes of a disk.
type extent struct{ start, length int64 }

func (e extent) end() int64 { return e.start + e.length }

// Where the file system holds data for a file, exactly as it says, in order.
func rawExtents(f *os.File, size int64) ([]extent, error) {
	var found []extent
	for at := int64(0); at < size; {
		start, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return nil, err
		}
		end, err := f.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		start, end = min(start, size), min(end, size)
		found = append(found, extent{start, end - start})
		at = end
	}
	return found, nil
}

// The same in whole grains: touching and overlapping runs become one, and the last ends with the disk.
func dataExtents(path string) ([]extent, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	raw, err := rawExtents(f, info.Size())
	if err != nil {
		return nil, err
	}
	return wholeGrains(raw, info.Size()), nil
}

func wholeGrains(raw []extent, size int64) []extent {
	var whole []extent
	for _, e := range raw {
		start := e.start / grain * grain
		end := min((e.end()+grain-1)/grain*grain, size)
		if last := len(whole) - 1; last >= 0 && whole[last].end() >= start {
			whole[last].length = end - whole[last].start
			continue
		}
		whole = append(whole, extent{start, end - start})
	}
	return whole
}

// Copies a disk so that its holes stay holes. The copy appears under its name only when it is whole.
func copySparse(from, to string) error {
	return copyWith(from, to, shareBlocks)
}

func copyWith(from, to string, share func(dst, src *os.File) error) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.CreateTemp(filepath.Dir(to), ".copy-*")
	if err != nil {
		return err
	}
	defer os.Remove(dst.Name()) // is gone already when all went well
	defer dst.Close()
	if share(dst, src) != nil {
		if err := copyData(dst, src); err != nil {
			return err
		}
	}
	if err := dst.Chmod(0o644); err != nil {
		return err
	}
	return os.Rename(dst.Name(), to)
}

// Lets two files share their blocks; works on btrfs, xfs and bcachefs, and is done at once.
func shareBlocks(dst, src *os.File) error {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
}

func copyData(dst, src *os.File) error {
	info, err := src.Stat()
	if err != nil {
		return err
	}
	extents, err := rawExtents(src, info.Size())
	if err != nil {
		return err
	}
	if err := dst.Truncate(info.Size()); err != nil {
		return err
	}
	for _, e := range extents {
		if _, err := src.Seek(e.start, io.SeekStart); err != nil {
			return err
		}
		if _, err := dst.Seek(e.start, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(dst, src, e.length); err != nil {
			return err
		}
	}
	return nil
}
