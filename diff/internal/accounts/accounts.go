package accounts

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/baleen-project/baleen/diff/internal/text"
)

// MaxSize is how large a file may be to be merged, in bytes: of /etc/passwd, about 20,000
// users.
const MaxSize = 1 << 20

// ErrFormat says that a file cannot be merged by names: it is too large, or has a line
// that is none of its format.
var ErrFormat = errors.New("not a list of accounts")

// Format says where the lines of a file have ids. The name is the first field of all.
type Format struct {
	id    int // the field with an id, or the first of a range; 0 if there is none
	count int // the field with the size of the range; 0 if it is 1
}

// formats are those of passwd(5), shadow(5), group(5), gshadow(5), subuid(5) and subgid(5).
var formats = map[string]Format{
	"etc/passwd": {id: 2}, "etc/group": {id: 2}, "etc/shadow": {}, "etc/gshadow": {},
	"etc/subuid": {id: 1, count: 2}, "etc/subgid": {id: 1, count: 2},
}

// FormatOf returns the format of a file by its path from the root, without a slash before
// it; ok is false if it is no file of accounts.
func FormatOf(path string) (f Format, ok bool) {
	f, ok = formats[path]
	return f, ok
}

// entry is what a file has under a name.
type entry struct {
	name  string // that of a comment begins with NUL
	lines []string
	first int // the number of the first line, from 1
}

// file is a file of accounts, in the order of its lines.
type file struct {
	entries []*entry
	byName  map[string]*entry
}

func parse(text []byte) (*file, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrFormat, len(text))
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, fmt.Errorf("%w: a NUL is in it", ErrFormat)
	}
	f := &file{byName: map[string]*entry{}}
	for i, line := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if strings.HasPrefix(line, "#") {
			name, ok = "\x00"+line, true
		}
		// A + or - begins what asks another service (nsswitch.conf's compat): its place
		// among the lines has a meaning.
		if !ok || name == "" || name[0] == '+' || name[0] == '-' {
			return nil, fmt.Errorf("%w: line %d", ErrFormat, i+1)
		}
		e := f.byName[name]
		if e == nil {
			e = &entry{name: name, first: i + 1}
			f.byName[name] = e
			f.entries = append(f.entries, e)
		}
		e.lines = append(e.lines, line)
	}
	return f, nil
}

func (e *entry) same(as *entry) bool {
	if e == nil || as == nil {
		return e == as
	}
	return slices.Equal(e.lines, as.lines)
}

// line is the number of the first line, 0 if there is none.
func (e *entry) line() int {
	if e == nil {
		return 0
	}
	return e.first
}

// Conflict is a name that both sides changed, or an id that they gave to two names.
type Conflict struct {
	Name, Other string // the container's and the image's name; one, if the name is the conflict
	ID          uint64 // that the two have, if they differ
	Line        int    // of the container's file, 0 if it has none
	OtherLine   int    // of the image's file, 0 if it has none
}

// String names the lines. It has nothing of them but names and ids: passwords are among
// the rest, also in comments.
func (c Conflict) String() string {
	at := func(line int, whose string) string {
		if line == 0 {
			return "not in " + whose
		}
		return fmt.Sprintf("line %d of %s", line, whose)
	}
	if c.Name == c.Other {
		return fmt.Sprintf("%s (%s, %s)", shown(c.Name), at(c.Line, "the container's"), at(c.OtherLine, "the image's"))
	}
	return fmt.Sprintf("id %d: %s (%s), %s (%s)", c.ID, shown(c.Name), at(c.Line, "the container's"), shown(c.Other), at(c.OtherLine, "the image's"))
}

// shown is a name for people.
func shown(name string) string {
	if name[0] == 0 {
		return "a comment"
	}
	return text.Beginning(name)
}

// Merged is what a merge comes to.
type Merged struct {
	Conflicts []Conflict // in the order of the container's lines, those of ids last
	container *file
	image     *file
	ours      map[string]bool // names that the container alone changed
}

// Merge merges what the container made of the old image's file into the new image's. A
// file that is not there is empty. The error is [ErrFormat].
func Merge(f Format, old, container, image []byte) (*Merged, error) {
	var files [3]*file
	for i, text := range [][]byte{old, container, image} {
		var err error
		if files[i], err = parse(text); err != nil {
			return nil, err
		}
	}
	m := &Merged{container: files[1], image: files[2], ours: map[string]bool{}}
	for _, name := range names(files[1], files[0], files[2]) {
		o, c, i := files[0].byName[name], files[1].byName[name], files[2].byName[name]
		switch {
		case c.same(o) || c.same(i):
		case i.same(o):
			m.ours[name] = true
		default:
			m.Conflicts = append(m.Conflicts, Conflict{Name: name, Other: name, Line: c.line(), OtherLine: i.line()})
		}
	}
	m.clashes(f, files[0])
	return m, nil
}

// names are those of files, each once, in the order of their lines.
func names(files ...*file) []string {
	known := map[string]bool{}
	var all []string
	for _, f := range files {
		for _, e := range f.entries {
			if !known[e.name] {
				known[e.name] = true
				all = append(all, e.name)
			}
		}
	}
	return all
}

// ids is a range of them that a side gave to a name.
type ids struct {
	*entry
	begin, end uint64
}

// clashes finds ids that the container gave to one name and the image to another one. It
// names each such name of either side at least once, beside one of the other side: pairs
// of them all can be as many as the square of the lines.
func (m *Merged) clashes(f Format, old *file) {
	if f.id == 0 {
		return
	}
	ours, theirs := f.given(m.container, old, m.image), f.given(m.image, old, m.container)
	told := map[[2]string]bool{}
	tell := func(a, b ids) {
		if pair := [2]string{a.name, b.name}; !told[pair] {
			told[pair] = true
			m.Conflicts = append(m.Conflicts, Conflict{Name: a.name, Other: b.name, ID: max(a.begin, b.begin), Line: a.line(), OtherLine: b.line()})
		}
	}
	search := newOverlaps(theirs)
	for _, r := range ours {
		if other, ok := search.with(r); ok {
			tell(r, other)
		}
	}
	search = newOverlaps(ours)
	for _, r := range theirs {
		if other, ok := search.with(r); ok {
			tell(other, r)
		}
	}
}

// given are the ids that one side alone gave to names that had not had them.
func (f Format) given(side, old, other *file) (all []ids) {
	for _, e := range side.entries {
		had := map[[2]uint64]bool{}
		for _, r := range append(f.allIDs(old.byName[e.name]), f.allIDs(other.byName[e.name])...) {
			had[r] = true
		}
		for _, r := range f.allIDs(e) {
			if !had[r] {
				all = append(all, ids{e, r[0], r[1]})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b ids) int { return cmp.Compare(a.begin, b.begin) })
	return all
}

// overlaps finds ranges in a sorted list that have ids with another range in common.
type overlaps struct {
	all []ids
	// last are, of the first n ranges, the one that ends last, and the one of another name
	// that does.
	last [][2]ids
}

func newOverlaps(all []ids) *overlaps {
	o := &overlaps{all, make([][2]ids, len(all)+1)}
	for i, r := range all {
		last := o.last[i]
		switch {
		case last[0].entry == nil || r.name == last[0].name:
			if r.end > last[0].end {
				last[0] = r
			}
		case r.end > last[0].end:
			last[0], last[1] = r, last[0]
		case r.end > last[1].end:
			last[1] = r
		}
		o.last[i+1] = last
	}
	return o
}

// with returns a range of another name that has ids with r in common.
func (o *overlaps) with(r ids) (ids, bool) {
	n, _ := slices.BinarySearchFunc(o.all, r.end, func(a ids, end uint64) int { return cmp.Compare(a.begin, end) })
	for _, last := range o.last[n] {
		if last.entry != nil && last.name != r.name {
			return last, last.end > r.begin
		}
	}
	return ids{}, false
}

// allIDs are those of all lines of an entry, which may be nil.
func (f Format) allIDs(e *entry) (all [][2]uint64) {
	if e == nil || e.name[0] == 0 {
		return nil
	}
	for _, line := range e.lines {
		if r, ok := f.ids(line); ok {
			all = append(all, r)
		}
	}
	return all
}

// ids are the first id of a line and the one after the last.
func (f Format) ids(line string) (r [2]uint64, ok bool) {
	fields := strings.Split(line, ":")
	if len(fields) <= max(f.id, f.count) {
		return r, false
	}
	first, err := strconv.ParseUint(fields[f.id], 10, 32)
	if err != nil {
		return r, false
	}
	count := uint64(1)
	if f.count > 0 {
		if count, err = strconv.ParseUint(fields[f.count], 10, 32); err != nil || count == 0 {
			return r, false
		}
	}
	return [2]uint64{first, first + count}, true
}

// Text is the merged file: the image's lines in their order, with what the container
// changed. Names that are in conflict have the lines of whoever wins, which may be none.
func (m *Merged) Text(containerWins bool) []byte {
	ours := map[string]bool{}
	for name := range m.ours {
		ours[name] = true
	}
	for _, c := range m.Conflicts {
		switch {
		case c.Name == c.Other:
			ours[c.Name] = containerWins
		case containerWins:
			ours[c.Other] = true
		default:
			ours[c.Name] = false
		}
	}
	var b bytes.Buffer
	write := func(e *entry) {
		if e != nil {
			b.WriteString(strings.Join(e.lines, "\n") + "\n")
		}
	}
	for _, e := range m.image.entries {
		if ours[e.name] {
			write(m.container.byName[e.name])
		} else {
			write(e)
		}
	}
	for _, e := range m.container.entries {
		if m.image.byName[e.name] == nil && ours[e.name] {
			write(e)
		}
	}
	return b.Bytes()
}

// IDs are the ids of the names in a file; nil if it cannot be read as one of its format.
func IDs(f Format, text []byte) map[string]uint32 {
	parsed, err := parse(text)
	if err != nil {
		return nil
	}
	all := map[string]uint32{}
	for _, e := range parsed.entries {
		if r, ok := f.ids(e.lines[0]); ok && e.name[0] != 0 {
			all[e.name] = uint32(r[0]) //nolint:gosec // it was parsed as one of 32 bits
		}
	}
	return all
}
