package accounts_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/diff/internal/accounts"
)

const base = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nwww:x:33:33::/var/www:/bin/false\n"

func TestMerge(t *testing.T) {
	for _, test := range []struct {
		name, path, old, container, image string
		keep, imageWins                   string // imageWins is empty if there is no conflict
		conflicts                         []string
	}{
		{name: "nothing", path: "etc/passwd", old: base, container: base, image: base, keep: base},
		{
			name: "both added", path: "etc/passwd", old: base, container: base + "app:x:1000:1000::/:/bin/sh\n", image: base + "db:x:101:101::/:/bin/false\n",
			keep: base + "db:x:101:101::/:/bin/false\napp:x:1000:1000::/:/bin/sh\n",
		},
		{
			name: "one changed what the other did not", path: "etc/passwd", old: base,
			container: strings.Replace(base, "/root:/bin/sh", "/root:/bin/bash", 1),
			image:     strings.Replace(base, "daemon:x:1:1", "daemon:x:2:2", 1),
			keep:      "root:x:0:0:root:/root:/bin/bash\ndaemon:x:2:2::/:/bin/false\nwww:x:33:33::/var/www:/bin/false\n",
		},
		{
			name: "each removed one", path: "etc/group", old: "a:x:1:\nb:x:2:\nc:x:3:\n", container: "b:x:2:\nc:x:3:\n", image: "a:x:1:\nb:x:2:\n", keep: "b:x:2:\n",
		},
		{
			name: "the same by both, in another order", path: "etc/group", old: "", container: "a:x:1:\nb:x:2:\n", image: "b:x:2:\na:x:1:\n", keep: "b:x:2:\na:x:1:\n",
		},
		{
			name: "a name that both changed", path: "etc/passwd", old: base,
			container: strings.Replace(base, "/var/www:", "/srv:", 1), image: strings.Replace(base, "www:x:33:33", "www:x:82:82", 1),
			keep: strings.Replace(base, "/var/www:", "/srv:", 1), imageWins: strings.Replace(base, "www:x:33:33", "www:x:82:82", 1),
			conflicts: []string{"www (line 3 of the container's, line 3 of the image's)"},
		},
		{
			name: "removed and changed", path: "etc/shadow", old: "a:*:1::::::\nb:*:1::::::\n", container: "b:*:1::::::\nc:$y$secret:1::::::\n", image: "a:!:1::::::\nb:*:1::::::\n",
			keep: "b:*:1::::::\nc:$y$secret:1::::::\n", imageWins: "a:!:1::::::\nb:*:1::::::\nc:$y$secret:1::::::\n",
			conflicts: []string{"a (not in the container's, line 1 of the image's)"},
		},
		{
			name: "one id for two names", path: "etc/passwd", old: base, container: base + "app:x:101:101::/:/bin/sh\nother:x:7:7::/:/bin/sh\n", image: base + "db:x:101:101::/:/bin/false\nx:x:8:8::/:/bin/sh\n",
			keep:      base + "x:x:8:8::/:/bin/sh\napp:x:101:101::/:/bin/sh\nother:x:7:7::/:/bin/sh\n",
			imageWins: base + "db:x:101:101::/:/bin/false\nx:x:8:8::/:/bin/sh\nother:x:7:7::/:/bin/sh\n",
			conflicts: []string{"id 101: app (line 4 of the container's), db (line 4 of the image's)"},
		},
		{
			name: "one id for two names, one of which the container has with another id", path: "etc/passwd", old: base,
			container: base + "app:x:82:82::/:/bin/sh\n", image: strings.Replace(base, "www:x:33:33", "www:x:82:82", 1) + "db:x:101:101::/:/bin/false\n",
			keep:      base + "db:x:101:101::/:/bin/false\napp:x:82:82::/:/bin/sh\n",
			imageWins: strings.Replace(base, "www:x:33:33", "www:x:82:82", 1) + "db:x:101:101::/:/bin/false\n",
			conflicts: []string{"id 82: app (line 4 of the container's), www (line 3 of the image's)"},
		},
		{
			name: "one id for two names of the container and one of the image", path: "etc/passwd", old: base,
			container: base + "app:x:101:101::/:/bin/sh\napp2:x:101:101::/:/bin/sh\n", image: base + "db:x:101:101::/:/bin/false\n",
			keep:      base + "app:x:101:101::/:/bin/sh\napp2:x:101:101::/:/bin/sh\n",
			imageWins: base + "db:x:101:101::/:/bin/false\n",
			conflicts: []string{"id 101: app (line 4 of the container's), db (line 4 of the image's)", "id 101: app2 (line 5 of the container's), db (line 4 of the image's)"},
		},
		{
			name: "one range for two names of the image and one of the container", path: "etc/subuid", old: "",
			container: "app:100:100\n", image: "db:50:60\nweb:150:1\nfar:300:1\n",
			keep: "far:300:1\napp:100:100\n", imageWins: "db:50:60\nweb:150:1\nfar:300:1\n",
			conflicts: []string{"id 150: app (line 1 of the container's), web (line 2 of the image's)", "id 100: app (line 1 of the container's), db (line 1 of the image's)"},
		},
		{
			name: "one id for a name of both and one of the image", path: "etc/group", old: "",
			container: "app:x:101:\n", image: "app:x:101:\ndb:x:101:\n", keep: "app:x:101:\ndb:x:101:\n",
		},
		{
			name: "a comment that hides a password, repeated by the container", path: "etc/shadow", old: "#a:$y$secret:1\n",
			container: "#a:$y$secret:1\n#a:$y$secret:1\n", image: "b:!:1\n",
			keep: "b:!:1\n#a:$y$secret:1\n#a:$y$secret:1\n", imageWins: "b:!:1\n",
			conflicts: []string{"a comment (line 1 of the container's, not in the image's)"},
		},
		{
			name: "one id for two names that the old image had so", path: "etc/passwd", old: base + "toor:x:0:0::/:/bin/sh\n",
			container: base + "toor:x:0:0::/:/bin/bash\n", image: strings.Replace(base, "/bin/sh", "/bin/dash", 1) + "toor:x:0:0::/:/bin/sh\n",
			keep: strings.Replace(base, "/bin/sh", "/bin/dash", 1) + "toor:x:0:0::/:/bin/bash\n",
		},
		{
			name: "ranges of subordinate ids that overlap", path: "etc/subuid", old: "", container: "app:100000:65536\napp:300000:10\n", image: "db:165535:65536\nok:400000:1\n",
			keep: "ok:400000:1\napp:100000:65536\napp:300000:10\n", imageWins: "db:165535:65536\nok:400000:1\n",
			conflicts: []string{"id 165535: app (line 1 of the container's), db (line 1 of the image's)"},
		},
		{
			name: "ranges that touch", path: "etc/subgid", old: "", container: "app:100000:65536\n", image: "db:165536:65536\n", keep: "db:165536:65536\napp:100000:65536\n",
		},
		{
			name: "comments, blanks and no end of the last line", path: "etc/group", old: "# old\n\na:x:1:", container: "# old\n# mine\n\na:x:1:\nb:x:2:", image: "# new\n\na:x:1:",
			keep: "# new\na:x:1:\n# mine\nb:x:2:\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, ok := accounts.FormatOf(test.path)
			if !ok {
				t.Fatal("no format")
			}
			m, err := accounts.Merge(f, []byte(test.old), []byte(test.container), []byte(test.image))
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(m.Conflicts); got != fmt.Sprint(test.conflicts) {
				t.Errorf("conflicts are %s, want %s", got, test.conflicts)
			}
			if test.imageWins == "" {
				test.imageWins = test.keep
			}
			if got := string(m.Text(true)); got != test.keep {
				t.Errorf("if the container wins it is\n%s, want\n%s", got, test.keep)
			}
			if got := string(m.Text(false)); got != test.imageWins {
				t.Errorf("if the image wins it is\n%s, want\n%s", got, test.imageWins)
			}
		})
	}
}

func TestMergeRefuses(t *testing.T) {
	f, _ := accounts.FormatOf("etc/passwd")
	for name, text := range map[string]string{
		"no colon": "root\n", "no name": ":x:0:0\n", "another service": base + "+::::::\n", "a NUL": "a\x00:x:1:1::/:\n",
		"too large": strings.Repeat("a:x:1:1::/:\n", accounts.MaxSize/10),
	} {
		for side := range 3 {
			texts := [3][]byte{[]byte(base), []byte(base), []byte(base)}
			texts[side] = []byte(text)
			if _, err := accounts.Merge(f, texts[0], texts[1], texts[2]); !errors.Is(err, accounts.ErrFormat) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, ok := accounts.FormatOf("etc/hosts"); ok {
		t.Error("hosts is no file of accounts")
	}
}

func TestIDs(t *testing.T) {
	f, _ := accounts.FormatOf("etc/passwd")
	if got := fmt.Sprint(accounts.IDs(f, []byte(base+"# c:x:1\nodd:x:4294967296:1::/:\nodd2:x\n"))); got != "map[daemon:1 root:0 www:33]" {
		t.Error(got)
	}
	if accounts.IDs(f, []byte("no")) != nil {
		t.Error("it read what is no list")
	}
}

// lines are those of a text that count, in order.
func lines(text []byte) []string {
	all := strings.Split(string(text), "\n")
	all = slices.DeleteFunc(all, func(l string) bool { return strings.TrimSpace(l) == "" })
	slices.Sort(all)
	return all
}

func FuzzMerge(f *testing.F) {
	f.Add("etc/passwd", []byte(base), []byte(base+"app:x:101:1::/:\n"), []byte(base+"db:x:101:1::/:\n"))
	f.Add("etc/subuid", []byte(""), []byte("a:1:5\na:9:1"), []byte("b:5:3\nb:0:0"))
	f.Add("etc/subuid", []byte(""), []byte("0:0:1\n1:0:1"), []byte(""))
	f.Add("etc/group", []byte("# c\na:x:1:\n"), []byte("a:x:1:b\n"), []byte("\n\na:x:2:\n"))
	f.Fuzz(func(t *testing.T, path string, old, container, image []byte) {
		format, ok := accounts.FormatOf(path)
		if !ok {
			return
		}
		m, err := accounts.Merge(format, old, container, image)
		if err != nil {
			return
		}
		for _, wins := range []bool{true, false} {
			text := m.Text(wins)
			given := append(lines(container), lines(image)...)
			for _, line := range lines(text) {
				if !slices.Contains(given, line) {
					t.Fatalf("%q is of neither side", line)
				}
			}
			if len(m.Conflicts) == 0 && !bytes.Equal(text, m.Text(!wins)) {
				t.Fatal("without a conflict it matters who wins")
			}
		}
		swapped, err := accounts.Merge(format, old, image, container)
		if err != nil || len(swapped.Conflicts) != len(m.Conflicts) {
			t.Fatalf("%d conflicts, and %d from the other side: %v", len(m.Conflicts), len(swapped.Conflicts), err)
		}
		for _, same := range [][3][]byte{{old, container, old}, {old, old, container}, {old, container, container}, {container, container, container}} {
			m, err := accounts.Merge(format, same[0], same[1], same[2])
			if err != nil || len(m.Conflicts) > 0 {
				t.Fatalf("what one side changed is in conflict: %v %v", m.Conflicts, err)
			}
			if got, want := lines(m.Text(true)), lines(container); !slices.Equal(got, want) {
				t.Fatalf("what one side changed comes to %q, want %q", got, want)
			}
		}
	})
}
