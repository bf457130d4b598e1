package inode

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Ref leads to a directory or a name in Names. It is 0 for the root of a tree, and for
// what is not known.
type Ref uint64

// Names keeps directories, and names in them.
type Names struct {
	log spool
	end int64
	buf []byte
}

const (
	// pieceLimit is how long a piece of a path becomes, in bytes, when a name is added
	// to it: a system call takes that and a name more (PATH_MAX, with what ends it).
	pieceLimit = 4096 - 1 - 256
	// recordHead is where a record continues, and the length of its text.
	recordHead = 8 + 2
)

// Dir keeps a directory that is in another one, or in the root.
func (n *Names) Dir(above Ref, name string) (Ref, error) {
	if above == 0 {
		return n.add(0, name)
	}
	// Whole pieces of paths, so that a path is read at once.
	before, piece, err := n.read(above)
	if err != nil {
		return 0, err
	}
	if len(piece)+len("/")+len(name) <= pieceLimit {
		return n.add(before, piece+"/"+name)
	}
	return n.add(above, name)
}

// Name keeps a name in a directory.
func (n *Names) Name(dir Ref, name string) (Ref, error) { return n.add(dir, name) }

func (n *Names) add(before Ref, text string) (Ref, error) {
	if n.end == 0 {
		n.end = 1 // a Ref is not 0
	}
	record := binary.LittleEndian.AppendUint64(n.buf[:0], uint64(before))
	record = binary.LittleEndian.AppendUint16(record, uint16(len(text))) //nolint:gosec // it is one name or a piece
	record = append(record, text...)
	n.buf = record
	ref := Ref(n.end) //nolint:gosec // it is positive
	if err := n.log.write(n.end, record); err != nil {
		return 0, err
	}
	n.end += int64(len(record))
	return ref, nil
}

func (n *Names) read(ref Ref) (before Ref, text string, err error) {
	const longest = recordHead + pieceLimit
	n.buf = slices.Grow(n.buf[:0], longest)
	record, err := n.log.at(int64(ref), n.buf[:longest]) //nolint:gosec // it was an offset
	if err != nil {
		return 0, "", err
	}
	if len(record) < recordHead {
		return 0, "", io.ErrUnexpectedEOF
	}
	length := int(binary.LittleEndian.Uint16(record[8:]))
	if len(record) < recordHead+length {
		return 0, "", io.ErrUnexpectedEOF
	}
	return Ref(binary.LittleEndian.Uint64(record)), string(record[recordHead : recordHead+length]), nil
}

// Pieces returns the path that leads from the root to a directory or a name, in pieces:
// names with slashes between them, of less than 4,096 bytes.
func (n *Names) Pieces(ref Ref) ([]string, error) {
	var pieces []string
	for ref != 0 {
		before, piece, err := n.read(ref)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, piece)
		ref = before
	}
	slices.Reverse(pieces)
	return pieces, nil
}

// Path returns the path that leads from the root to a directory or a name.
func (n *Names) Path(ref Ref) (string, error) {
	pieces, err := n.Pieces(ref)
	return strings.Join(pieces, "/"), err
}

// Close gives up what the names take.
func (n *Names) Close() error {
	err := n.log.close()
	*n = Names{}
	return err
}

// Links knows the first names of files that have several, until all have been met.
type Links struct {
	Names
	files Table // by file, its name and how many more it has, some perhaps outside the tree
}

// Meet returns the name under which a file was met first, or 0 if this is its first.
func (l *Links) Meet(st *unix.Stat_t) (Ref, error) {
	known, err := l.files.Get(Of(st))
	if err != nil || known == (Value{}) {
		return 0, err
	}
	first := Ref(known[0])
	if known[1]--; known[1] == 0 {
		known = Value{}
	}
	return first, l.files.Set(Of(st), known)
}

// Add keeps the first name of a file of several names.
func (l *Links) Add(st *unix.Stat_t, dir Ref, name string) error {
	first, err := l.Name(dir, name)
	if err != nil {
		return err
	}
	return l.files.Set(Of(st), Value{uint64(first), uint64(st.Nlink) - 1}) //nolint:unconvert // 32 bits on arm64
}

// Close gives up what the links take.
func (l *Links) Close() error { return errors.Join(l.Names.Close(), l.files.Close()) }
