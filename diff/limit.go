package diff

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// DefaultMaxLayer is the size of a layer, in bytes, that is allowed if nothing else
// is said: 1 TiB. A layer's stream is digested byte by byte, holes included, at about
// 1.2 GB/s (SHA-256 by a processor with instructions for it): 1 TiB takes a quarter
// of an hour, and what file systems hold as one hole up to two centuries.
const DefaultMaxLayer = 1 << 40

// defaultEntries is how many entries a layer may have at least: as many as files for
// which an ext4 of 256 GiB is made (one for 16 KiB, mke2fs.conf), and a dozen times as
// many as large images have. Each may cost some 100 bytes until the end, of which those
// beyond a few MiB are in a temporary file.
const defaultEntries = 1 << 24

// entrySize is how many bytes of a larger limit allow one entry more.
const entrySize = 64 << 10

// ErrOverLimit says that a layer is greater than its [Limit]. It is errdefs'
// ErrFailedPrecondition.
var ErrOverLimit = errdefs.ErrFailedPrecondition.WithMessage("layer over the limit of its size")

// Limit bounds the size of a layer. That is the size of its tar stream: holes of files
// count, for a stream has them as zeros. The zero value is [DefaultMaxLayer].
type Limit struct {
	Bytes int64 // 0 is DefaultMaxLayer
	// Entries bounds those of the tar stream. 0 is 16 million, or more in proportion
	// to Bytes.
	Entries int64
	// Allow says, in errors, how to allow more.
	Allow string
}

// ParseLimit reads a size: a number with a unit, of which all are powers of 1024, as
// in 2TiB.
func ParseLimit(text string) (bytes int64, err error) {
	bytes, err = units.RAMInBytes(text)
	if err != nil || bytes <= 0 {
		return 0, fmt.Errorf("layer size %q: want one such as 2TiB: %w", text, errdefs.ErrInvalidArgument)
	}
	return bytes, nil
}

// MaxBytes is how large a layer may be.
func (l Limit) MaxBytes() int64 {
	if l.Bytes == 0 {
		return DefaultMaxLayer
	}
	return l.Bytes
}

// MaxEntries is how many entries its tar stream may have.
func (l Limit) MaxEntries() int64 {
	if l.Entries == 0 {
		return max(defaultEntries, l.MaxBytes()/entrySize)
	}
	return l.Entries
}

// CheckEntries fails if a layer has too many entries.
func (l Limit) CheckEntries(entries int64) error {
	if entries <= l.MaxEntries() {
		return nil
	}
	return fmt.Errorf("more than %d entries%s: %w", l.MaxEntries(), l.Hint(), ErrOverLimit)
}

// CheckFile fails if a layer that has that many bytes must not have a file of that size,
// too.
func (l Limit) CheckFile(has, size int64) error {
	if size <= l.MaxBytes()-has {
		return nil
	}
	return fmt.Errorf("a file of %d bytes, holes included, in a layer that has %d and may have %d%s: %w",
		size, has, l.MaxBytes(), l.Hint(), ErrOverLimit)
}

// Hint is Allow for the end of an error, in brackets, or nothing.
func (l Limit) Hint() string {
	if l.Allow == "" {
		return ""
	}
	return " (" + l.Allow + ")"
}
