// Package changelist keeps the changes of a container for an answer of Docker's API, however
// many there are, in little memory: [List].
package changelist

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/go-archive"
)

// inMemory is up to how many bytes a list is in memory. The rest is in a file
// without a name, so that nothing is left of it.
const inMemory = 1 << 20

// List is a list of changes in the order of a walk. Of each path that part is
// kept which it does not share with the one before: a list takes about what the
// directories take that have the names. The zero value is an empty list.
type List struct {
	last  string
	count int64
	head  bytes.Buffer  // the first part
	file  *os.File      // the rest; nil if there is none
	rest  *bufio.Writer // to file
}

// Add appends a change.
func (l *List) Add(change archive.Change) error {
	shared := 0
	for shared < min(len(l.last), len(change.Path)) && l.last[shared] == change.Path[shared] {
		shared++
	}
	var numbers [3 * binary.MaxVarintLen64]byte
	record := binary.AppendUvarint(numbers[:0], uint64(change.Kind))
	record = binary.AppendUvarint(record, uint64(shared))
	record = binary.AppendUvarint(record, uint64(len(change.Path)-shared))
	record = append(record, change.Path[shared:]...)
	l.last = change.Path
	l.count++
	if l.file == nil && l.head.Len()+len(record) <= inMemory {
		l.head.Write(record)
		return nil
	}
	if l.file == nil {
		if err := l.spill(); err != nil {
			return fmt.Errorf("keep the list of changes: %w", err)
		}
	}
	if _, err := l.rest.Write(record); err != nil {
		return fmt.Errorf("keep the list of changes: %w", err)
	}
	return nil
}

func (l *List) spill() (err error) {
	if l.file, err = os.CreateTemp("", "baleen-changes-"); err != nil {
		// Not wrapped: the walk would take its ENOENT for a file that went meanwhile.
		return errdefs.ErrInternal.WithMessage(err.Error())
	}
	l.rest = bufio.NewWriterSize(l.file, 64<<10)
	return os.Remove(l.file.Name())
}

// Close frees what the list takes on disk.
func (l *List) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Answer writes the list as Docker's API has it.
func (l *List) Answer(ctx context.Context, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	if l.count == 0 {
		_, _ = out.WriteString("null\n")
		return out.Flush()
	}
	r, err := l.reader()
	if err != nil {
		return err
	}
	var one bytes.Buffer
	enc := json.NewEncoder(&one)
	enc.SetEscapeHTML(false)
	before, path := "[", []byte(nil)
	for range l.count {
		if err := ctx.Err(); err != nil {
			return err
		}
		var change archive.Change
		if change, path, err = readChange(r, path); err != nil {
			return fmt.Errorf("read the list of changes: %w", err)
		}
		one.Reset()
		if err := enc.Encode(change); err != nil {
			return err
		}
		_, _ = out.WriteString(before)
		if _, err := out.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n"))); err != nil {
			return err
		}
		before = ","
	}
	_, _ = out.WriteString("]\n")
	return out.Flush()
}

func (l *List) reader() (*bufio.Reader, error) {
	if l.file == nil {
		return bufio.NewReader(&l.head), nil
	}
	if err := l.rest.Flush(); err != nil {
		return nil, fmt.Errorf("keep the list of changes: %w", err)
	}
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the list of changes: %w", err)
	}
	return bufio.NewReaderSize(io.MultiReader(&l.head, l.file), 64<<10), nil
}

// readChange reads the next change of a list, after the path of the one before,
// whose room it uses again.
func readChange(r *bufio.Reader, path []byte) (archive.Change, []byte, error) {
	var numbers [3]uint64
	for i := range numbers {
		var err error
		if numbers[i], err = binary.ReadUvarint(r); err != nil {
			return archive.Change{}, nil, err
		}
	}
	kind, shared, added := archive.ChangeType(numbers[0]), int(numbers[1]), int(numbers[2])
	path = append(path[:shared], make([]byte, added)...)
	if _, err := io.ReadFull(r, path[shared:]); err != nil {
		return archive.Change{}, nil, err
	}
	return archive.Change{Path: string(path), Kind: kind}, path, nil
}
