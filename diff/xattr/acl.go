package xattr

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/diff/idmap"
)

// MapACL maps the ids of a POSIX access control list: a version word, then
// entries of tag, permissions and id (linux/posix_acl_xattr.h). Attributes that
// are none, and all if f is nil, are returned as they are.
func MapACL(x Attr, f idmap.Func) ([]byte, error) {
	if f == nil || !strings.HasPrefix(x.Name, "system.posix_acl_") {
		return x.Value, nil
	}
	const (
		head, size      = 4, 8
		idAt            = 4
		tagUser, tagGrp = 0x02, 0x08
	)
	value := slices.Clone(x.Value)
	for e := head; e+size <= len(value); e += size {
		id := binary.LittleEndian.Uint32(value[e+idAt:])
		var err error
		switch binary.LittleEndian.Uint16(value[e:]) {
		case tagUser:
			id, err = f(id, idmap.UserID)
		case tagGrp:
			id, err = f(id, idmap.GroupID)
		}
		if err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint32(value[e+idAt:], id)
	}
	return value, nil
}

// MapACLs is [MapACL] for all attributes of a list, in their place.
func MapACLs(attrs []Attr, f idmap.Func) (err error) {
	for i, a := range attrs {
		if attrs[i].Value, err = MapACL(a, f); err != nil {
			return fmt.Errorf("map ids of %s: %w", a.Name, err)
		}
	}
	return nil
}
