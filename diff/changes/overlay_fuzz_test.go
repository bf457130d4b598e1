package changes_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/changes"
)

// escaped is a folder's name as the kernel takes it in a list: Documentation/
// filesystems/overlayfs.rst, multiple lower layers.
func escaped(name string) string { return strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(name) }

// skipIndex skips where no overlay can be parsed.
func skipIndex(t testing.TB) {
	if text, err := os.ReadFile("/sys/module/overlay/parameters/index"); err == nil && text[0] == 'Y' {
		t.Skip("overlays of this machine have an index by default")
	}
}

// FuzzParseOverlayNames: the names of folders survive being written as options,
// in whichever of the two ways lowers can be given.
func FuzzParseOverlayNames(f *testing.F) {
	for _, names := range []string{"/u", "/u\x00/l", `/u\` + "\x00/a:b\x00" + `/c\:d`, "/u\x00/l=1,2\x00:\x00" + `\`, "u\x00\x00l", "/a\nb\x00::\x00\\\\"} {
		f.Add(names, false)
		f.Add(names, true)
	}
	skipIndex(f)
	f.Fuzz(func(t *testing.T, text string, plus bool) {
		names := strings.Split(text, "\x00")
		upper, lowers := names[0], names[1:]
		options := []string{"index=off", "workdir=/w", "upperdir=" + escaped(upper)}
		list := make([]string, len(lowers))
		for i, name := range lowers {
			list[i] = escaped(name)
			if plus {
				options = append(options, "lowerdir+="+name)
			}
		}
		if !plus {
			options = append(options, "lowerdir="+strings.Join(list, ":"))
		}
		o, err := changes.ParseOverlay([]mount.Mount{{Type: "overlay", Source: "overlay", Options: options}}, true)
		if slices.Contains(names, "") || len(lowers) == 0 {
			if !errors.Is(err, diff.ErrUnsupported) {
				t.Fatalf("a name is empty, and the error is %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(o.Uppers, []string{upper}) || !slices.Equal(o.Lowers, lowers) {
			t.Errorf("%q gave the uppers %q and the lowers %q", options, o.Uppers, o.Lowers)
		}
	})
}

// FuzzParseOverlay: options of any kind are understood or refused as unsupported,
// and what is understood is what was said.
func FuzzParseOverlay(f *testing.F) {
	for _, options := range []string{
		"upperdir=/u,workdir=/w,lowerdir=/a:/b", "upperdir=/u", "lowerdir=/a::/b", "lowerdir+=/a,lowerdir+=/b,upperdir=/u", "datadir+=/x,lowerdir=/a",
		"upperdir=/u,upperdir=/v,lowerdir=/a", "lowerdir=/a,lowerdir=/b", "lowerdir=/a,index=on", "lowerdir=/a,index=off,nfs_export=off", "lowerdir=/a,metacopy=on,redirect_dir=follow",
		"uidmap=0:100000:65536,gidmap=0:100000:65536,upperdir=/u,lowerdir=/a", "uidmap=0:1:2,upperdir=/u,lowerdir=/a", "userxattr,lowerdir=/a:/b,upperdir=/u,xino=off,volatile,rw",
		"upperdir=,lowerdir=/a", "lowerdir=", `lowerdir=\`, `lowerdir=/a\:b`, "default_permissions,lowerdir=/a", "=", "", "uidmap=,gidmap=,lowerdir=/l,upperdir=/u",
		"uidmap=no,uidmap=,upperdir=/u,lowerdir=/a", "gidmap=0:1:1,gidmap=0:2:2,uidmap=0:1:1,upperdir=/u,lowerdir=/a",
		"uidmap=0:4294967295:2,gidmap=0:4294967295:2,upperdir=/u,lowerdir=/a",
	} {
		f.Add("overlay", "overlay", options, true)
	}
	f.Add("overlay", "overlay", "upperdir=/u,workdir=/w", false)
	f.Add("bind", "/u", "rw,rbind", false)
	f.Add("bind", "", "", false)
	f.Add("rbind", "/u", "", true)
	f.Add("", "", "", false)
	skipIndex(f)
	f.Fuzz(func(t *testing.T, kind, source, text string, hasParent bool) {
		// A comma is what mount(8) separates options at; here one is a newline's.
		options := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' })
		for i, o := range options { // id mappings hold commas
			options[i] = strings.ReplaceAll(o, ";", ",")
		}
		o, err := changes.ParseOverlay([]mount.Mount{{Type: kind, Source: source, Options: options}}, hasParent)
		if err != nil {
			if !errors.Is(err, diff.ErrUnsupported) {
				t.Errorf("an error of another class: %v", err)
			}
			return
		}
		if slices.Contains(o.Uppers, "") || slices.Contains(o.Lowers, "") {
			t.Errorf("%q gave a folder without a name: %+v", options, o)
		}
		if kind != "overlay" {
			if hasParent || !slices.Equal(o.Uppers, []string{source}) || len(o.Lowers) > 0 {
				t.Errorf("%s of %q gave %+v", kind, source, o)
			}
			return
		}
		checkOptions(t, options, hasParent, o)
	})
}

// checkOptions compares what was read with a second reading of the options, which
// knows nothing but what each of those says that may be understood.
func checkOptions(t *testing.T, options []string, hasParent bool, o changes.Overlay) {
	t.Helper()
	var uppers, lowers int
	var userxattr, mapped bool
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "upperdir":
			uppers++
		case "lowerdir":
			// A colon behind an odd number of backslashes is part of a name.
			lowers++
			for i := range value {
				before := value[:i]
				if value[i] == ':' && (len(before)-len(strings.TrimRight(before, `\`)))%2 == 0 {
					lowers++
				}
			}
		case "lowerdir+":
			lowers++
		case "userxattr":
			userxattr = true
		case "uidmap", "gidmap":
			mapped = mapped || value != ""
		case "index", "nfs_export":
			if value != "off" {
				t.Errorf("%q was understood", option)
			}
		case "rw", "ro", "workdir", "volatile", "xino", "redirect_dir", "metacopy", "uuid":
		default:
			t.Errorf("%q was understood", option)
		}
	}
	if uppers != len(o.Uppers) || uppers > 1 || lowers != len(o.Lowers) || userxattr != o.UserXattr {
		t.Errorf("%q gave %+v", options, o)
	}
	if lowers == 0 && (hasParent || uppers == 0) {
		t.Errorf("%q was understood without a lower (parent: %t)", options, hasParent)
	}
	if !mapped != o.IDs.Empty() || o.Mapped > 0 && (!mapped || o.Mapped != uppers) {
		t.Errorf("%q gave the mapping %+v of %d", options, o.IDs, o.Mapped)
	}
}
