package imageservice

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/go-archive"
)

// AnswerChanges answers a request for the changes of a container. changes calls
// [Service.Changes] with the context and the name that it is given; what another
// image service returns is answered as well. The changes may be of any number: they are not in
// memory together, and the container is read before the answer begins, so that an
// error is one of the answer.
func AnswerChanges(ctx context.Context, w http.ResponseWriter, changes func(ctx context.Context, name string) ([]archive.Change, error), name string) (err error) {
	list := &changeList{}
	defer func() { err = errors.Join(err, list.close()) }()
	more, err := changes(context.WithValue(ctx, changeListKey{}, list), name)
	if err != nil {
		return err
	}
	for _, change := range more {
		if err := list.add(change); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	return list.answer(ctx, w)
}

type changeListKey struct{}

// listInMemory is up to how many bytes a list is in memory. The rest is in a file
// without a name, so that nothing is left of it.
const listInMemory = 1 << 20

// changeList is a list of changes in the order of a walk. Of each path that part is
// kept which it does not share with the one before: a list takes about what the
// directories take that have the names.
type changeList struct {
	last  string
	count int64
	head  bytes.Buffer  // the first part
	file  *os.File      // the rest; nil if there is none
	rest  *bufio.Writer // to file
}

func (l *changeList) add(change archive.Change) error {
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
	if l.file == nil && l.head.Len()+len(record) <= listInMemory {
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

func (l *changeList) spill() (err error) {
	if l.file, err = os.CreateTemp("", "baleen-changes-"); err != nil {
		// Not wrapped: the walk would take its ENOENT for a file that went meanwhile.
		return errdefs.ErrInternal.WithMessage(err.Error())
	}
	l.rest = bufio.NewWriterSize(l.file, 64<<10)
	return os.Remove(l.file.Name())
}

func (l *changeList) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// answer writes the list as Docker's API has it.
func (l *changeList) answer(ctx context.Context, w io.Writer) error {
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

func (l *changeList) reader() (*bufio.Reader, error) {
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
