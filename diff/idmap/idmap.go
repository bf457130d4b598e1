package idmap

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Kind says what an id is of.
type Kind int

// Kinds of ids.
const (
	UserID Kind = iota
	GroupID
)

func (k Kind) String() string {
	if k == UserID {
		return "user"
	}
	return "group"
}

// Func maps the id of a user or a group, or fails for one that it does not
// know. Nil leaves all.
type Func func(id uint32, of Kind) (uint32, error)

// Pair maps a user and a group.
func (f Func) Pair(uid, gid uint32) (mappedUID, mappedGID uint32, err error) {
	if f == nil {
		return uid, gid, nil
	}
	if mappedUID, err = f(uid, UserID); err == nil {
		mappedGID, err = f(gid, GroupID)
	}
	return mappedUID, mappedGID, err
}

// Range says that Size ids of a user namespace from Container on are those
// from Host on outside.
type Range struct{ Container, Host, Size uint32 }

// Map maps the ids of a user namespace to those outside and back. The zero
// value leaves all ids as they are.
type Map struct{ UIDs, GIDs []Range }

// Parse reads ranges as the mount options uidmap and gidmap of containerd
// have them, and the snapshot labels of these names:
// CONTAINER:HOST:SIZE[,CONTAINER:HOST:SIZE...].
//
// What the kernel does not take as a mapping is errdefs.ErrInvalidArgument: an
// empty range, one that ends above the highest id, two that share an id, more
// than 340 ranges (user_namespaces(7)). A sum would wrap around to root.
func Parse(uids, gids string) (m Map, err error) {
	if m.UIDs, err = parseRanges(uids); err == nil {
		m.GIDs, err = parseRanges(gids)
	}
	if err != nil {
		return Map{}, fmt.Errorf("id mapping %q, %q: %w", uids, gids, err)
	}
	return m, nil
}

// maxRanges is UID_GID_MAP_MAX_EXTENTS of the kernel's linux/user_namespace.h.
const maxRanges = 340

func parseRanges(text string) ([]Range, error) {
	var ranges []Range
	for one := range strings.SplitSeq(text, ",") {
		r, err := parseRange(one)
		if err != nil {
			return nil, err
		}
		if len(ranges) == maxRanges {
			return nil, fmt.Errorf("more than %d ranges: %w", maxRanges, errdefs.ErrInvalidArgument)
		}
		if slices.ContainsFunc(ranges, r.meets) {
			return nil, fmt.Errorf("%q shares an id with a range before it: %w", one, errdefs.ErrInvalidArgument)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func parseRange(text string) (Range, error) {
	numbers := strings.Split(text, ":")
	if len(numbers) != 3 {
		return Range{}, fmt.Errorf("%q is not CONTAINER:HOST:SIZE: %w", text, errdefs.ErrInvalidArgument)
	}
	var n [3]uint32
	for i, number := range numbers {
		v, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return Range{}, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
		n[i] = uint32(v)
	}
	r := Range{n[0], n[1], n[2]}
	// The highest number stands for no id.
	if most := math.MaxUint32 - r.Size; r.Size == 0 || r.Container > most || r.Host > most {
		return Range{}, fmt.Errorf("%q is empty, or ends above the highest id: %w", text, errdefs.ErrInvalidArgument)
	}
	return r, nil
}

// meets reports whether two ranges share an id, in the user namespace or outside.
func (r Range) meets(s Range) bool {
	return overlap(r.Container, r.Size, s.Container, s.Size) || overlap(r.Host, r.Size, s.Host, s.Size)
}

func overlap(a, sizeA, b, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

// Format is what Parse reads.
func (m Map) Format() (uids, gids string) {
	return formatRanges(m.UIDs), formatRanges(m.GIDs)
}

func formatRanges(ranges []Range) string {
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = fmt.Sprintf("%d:%d:%d", r.Container, r.Host, r.Size)
	}
	return strings.Join(texts, ",")
}

// Empty reports whether the mapping leaves all ids as they are.
func (m Map) Empty() bool { return len(m.UIDs) == 0 && len(m.GIDs) == 0 }

// ToHost maps an id of the user namespace to the one outside. The error for one
// that is not mapped is errdefs.ErrFailedPrecondition.
func (m Map) ToHost(id uint32, of Kind) (uint32, error) {
	return m.mapped(id, of, func(r Range) Range { return r })
}

// ToContainer is the reverse of ToHost.
func (m Map) ToContainer(id uint32, of Kind) (uint32, error) {
	return m.mapped(id, of, func(r Range) Range { return Range{r.Host, r.Container, r.Size} })
}

// Inside is ToContainer for ids that were written below a mapping. One that it
// lacks stays: a container that shares the host's user namespace writes such.
func (m Map) Inside(id uint32, of Kind) (uint32, error) {
	if inside, err := m.ToContainer(id, of); err == nil {
		return inside, nil
	}
	return id, nil
}

// Outside is ToHost for what is written into a layer below no mapping, and may be
// there with the ids outside already. One that it lacks stays.
func (m Map) Outside(id uint32, of Kind) (uint32, error) {
	if outside, err := m.ToHost(id, of); err == nil {
		return outside, nil
	}
	return id, nil
}

func (m Map) mapped(id uint32, of Kind, turn func(Range) Range) (uint32, error) {
	ranges := m.UIDs
	if of == GroupID {
		ranges = m.GIDs
	}
	mapped, ok := mapID(id, ranges, turn)
	if !ok {
		return 0, fmt.Errorf("%s %d is outside of the id mapping: %w", of, id, errdefs.ErrFailedPrecondition)
	}
	return mapped, nil
}

func mapID(id uint32, ranges []Range, turn func(Range) Range) (uint32, bool) {
	for _, r := range ranges {
		if r = turn(r); id >= r.Container && id-r.Container < r.Size {
			return r.Host + (id - r.Container), true
		}
	}
	return id, len(ranges) == 0
}

// Disjoint reports whether no id is both one of the user namespace's and one
// outside: then it can be told of a file whether its owner has been mapped.
func (m Map) Disjoint() bool {
	return disjoint(m.UIDs) && disjoint(m.GIDs)
}

func disjoint(ranges []Range) bool {
	return !slices.ContainsFunc(ranges, func(r Range) bool {
		return slices.ContainsFunc(ranges, func(s Range) bool { return overlap(r.Host, r.Size, s.Container, s.Size) })
	})
}

// MapStat maps a file's owner; a nil function leaves it.
func MapStat(st *unix.Stat_t, f Func) (err error) {
	st.Uid, st.Gid, err = f.Pair(st.Uid, st.Gid)
	return err
}
