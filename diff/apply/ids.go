package apply

import (
	"archive/tar"
	"fmt"
	"math"
	"strings"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
	"github.com/baleen-project/baleen/diff/xattr"
)

// mapIDs maps the ids that an entry has. Owners that are no ids are refused later.
func mapIDs(hdr *tar.Header, f idmap.Func) error {
	if f == nil || hdr.Uid < 0 || hdr.Gid < 0 || int64(hdr.Uid) >= math.MaxUint32 || int64(hdr.Gid) >= math.MaxUint32 {
		return nil
	}
	uid, gid, err := f.Pair(uint32(hdr.Uid), uint32(hdr.Gid))
	if err != nil {
		return fmt.Errorf("map owner: %w", err)
	}
	hdr.Uid, hdr.Gid = int(uid), int(gid)
	for key, value := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(key, diff.PAXXattr)
		if !ok {
			continue
		}
		mapped, err := xattr.MapACL(xattr.Attr{Name: name, Value: []byte(value)}, f)
		if err != nil {
			return fmt.Errorf("map ids of %s: %w", name, err)
		}
		hdr.PAXRecords[key] = string(mapped)
	}
	return nil
}
