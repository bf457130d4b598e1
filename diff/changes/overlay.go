package changes

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/idmap"
)

// Overlay is where the files of a mounted snapshot lie.
type Overlay struct {
	// Uppers are the folders that hold the changes, topmost first: the active
	// snapshot's own and, if it stands on sealed ones, theirs.
	Uppers []string
	// Lowers are the folders below, topmost first.
	Lowers []string
	// UserXattr says that the overlay's marks are in the namespace user.overlay
	// instead of trusted.overlay.
	UserXattr bool
	// IDs is the mapping of a user namespace, and Mapped how many of all layers,
	// from the topmost down, have the owners in it that the files have outside.
	// What is read of them has the owners that they have inside, as in the image;
	// those that are not in the mapping stay.
	IDs    idmap.Map
	Mapped int
}

// ParseOverlay reads what a snapshotter's Mounts returned for an active
// snapshot. Without a parent, a bind mount is an upper on nothing; with one it
// is a copy of everything, which tells no changes: ErrUnsupported, as is every
// option whose meaning is not known here. Without a parent, an overlay need not have
// lowers either: containerd 2.2 and later hand out such mounts, which no kernel
// mounts, to unpack layers before it is known what they stand on.
func ParseOverlay(mounts []mount.Mount, hasParent bool) (Overlay, error) {
	if len(mounts) != 1 {
		return Overlay{}, fmt.Errorf("%w: %d mounts", diff.ErrUnsupported, len(mounts))
	}
	m := mounts[0]
	switch {
	case m.Target != "":
		return Overlay{}, fmt.Errorf("%w: a mount at %s", diff.ErrUnsupported, m.Target)
	case (m.Type == "bind" || m.Type == "rbind") && !hasParent && m.Source != "":
		return Overlay{Uppers: []string{m.Source}}, nil
	case m.Type != "overlay":
		return Overlay{}, fmt.Errorf("%w: a mount of type %s", diff.ErrUnsupported, m.Type)
	}
	var o Overlay
	if !slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "index=") }) && indexByDefault() {
		return Overlay{}, fmt.Errorf("%w: overlays have an index by default", diff.ErrUnsupported)
	}
	// containerd maps the layers below when it mounts (idmapped mounts); what is
	// written has the ids of the host.
	maps := map[string]string{}
	for _, option := range m.Options {
		key, value, _ := strings.Cut(option, "=")
		_, again := maps[key]
		var err error
		switch {
		case again:
			err = fmt.Errorf("%w: an overlay with another %s", diff.ErrUnsupported, key)
		case key == "uidmap" || key == "gidmap":
			maps[key] = value
		default:
			err = o.parse(option)
		}
		if err != nil {
			return Overlay{}, err
		}
	}
	if uids, gids := maps["uidmap"], maps["gidmap"]; uids != "" || gids != "" {
		ids, err := idmap.Parse(uids, gids)
		if err != nil {
			return Overlay{}, fmt.Errorf("%w: %w", diff.ErrUnsupported, err)
		}
		o.IDs, o.Mapped = ids, len(o.Uppers)
	}
	if len(o.Lowers) == 0 && (hasParent || len(o.Uppers) == 0) {
		return Overlay{}, fmt.Errorf("%w: an overlay without lowerdir", diff.ErrUnsupported)
	}
	return o, nil
}

// WrittenDir is the folder that a mount of an active snapshot writes to: the upper of
// an overlay, whatever its other options mean, or the source of a bind mount. It is
// "" if mounts do not tell.
func WrittenDir(mounts []mount.Mount) string {
	if len(mounts) != 1 {
		return ""
	}
	switch m := mounts[0]; m.Type {
	case "bind", "rbind":
		return m.Source
	case "overlay":
		for _, option := range m.Options {
			if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
				return unescape(upper)
			}
		}
	}
	return ""
}

// indexByDefault reports how the kernel's module is set.
func indexByDefault() bool {
	text, err := os.ReadFile("/sys/module/overlay/parameters/index")
	return err == nil && strings.HasPrefix(string(text), "Y")
}

// harmless options do not change what an upper's entries mean.
var harmless = map[string]bool{
	"rw": true, "ro": true, "workdir": true, "volatile": true, "xino": true,
	// Renamed directories and files without data are understood wherever they
	// are met, whatever the option says now.
	"redirect_dir": true, "metacopy": true, "uuid": true,
}

func (o *Overlay) parse(option string) error {
	key, value, _ := strings.Cut(option, "=")
	// Of one given twice the last counts, or all, by the kernel's version.
	if key == "upperdir" && len(o.Uppers) > 0 || key == "lowerdir" && len(o.Lowers) > 0 {
		return fmt.Errorf("%w: an overlay with another %s", diff.ErrUnsupported, key)
	}
	if value == "" && (key == "upperdir" || key == "lowerdir+") {
		return fmt.Errorf("%w: an overlay with an empty %s", diff.ErrUnsupported, key)
	}
	switch key {
	case "upperdir":
		o.Uppers = append(o.Uppers, unescape(value))
	case "lowerdir":
		dirs, err := splitLowers(value)
		if err != nil {
			return err
		}
		o.Lowers = append(o.Lowers, dirs...)
	case "lowerdir+": // one folder, not escaped (kernel 6.5)
		o.Lowers = append(o.Lowers, value)
	case "userxattr":
		o.UserXattr = true
	case "index", "nfs_export":
		// With an index a write to one name of a file of several shows under
		// the others too, of which the upper tells nothing.
		if value != "off" {
			return fmt.Errorf("%w: an overlay with option %s", diff.ErrUnsupported, option)
		}
	default:
		if !harmless[key] {
			return fmt.Errorf("%w: an overlay with option %s", diff.ErrUnsupported, option)
		}
	}
	return nil
}

// splitLowers splits at colons that no backslash escapes. Two colons in a row
// begin lowers that hold data only.
func splitLowers(value string) ([]string, error) {
	var (
		dirs  []string
		begin int
	)
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case ':':
			dirs = append(dirs, unescape(value[begin:i]))
			begin = i + 1
		}
	}
	dirs = append(dirs, unescape(value[begin:]))
	for _, d := range dirs {
		if d == "" {
			return nil, fmt.Errorf("%w: an overlay with lowerdir=%s", diff.ErrUnsupported, value)
		}
	}
	return dirs, nil
}

func unescape(path string) string {
	if !strings.Contains(path, `\`) {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+1 < len(path) {
			i++
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
