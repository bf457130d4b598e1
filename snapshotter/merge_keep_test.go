package snapshotter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/diff/merge"
)

// TestMergeKeeps keeps paths whole whatever the image does there.
func TestMergeKeeps(t *testing.T) {
	needRoot(t)
	base := unpackBase(t)
	const image = `echo new > a/one; rm -r a/b; mkdir -p a/n/m; echo n > a/n/m/n; ln -sfn two a/link; chmod 700 a; echo new > file; rm -r d; echo d > d; rm -r l; ln -s a l`
	for _, test := range []struct {
		name, container, keep, want string
		policy                      merge.Policy
		whole                       []string
	}{
		{name: "nothing of the container's", keep: "a", want: `rm -r a; cp -a $base/a .`, whole: []string{"a 4 4"}},
		{name: "the container's changes", container: `rm a/link; echo mine > a/b/two; mkfifo a/p`, keep: "a",
			want: `rm -r a; cp -a $base/a .; rm a/link; echo mine > a/b/two; mkfifo a/p`, whole: []string{"a 4 2"}},
		{name: "a file", keep: "file", want: `echo file > file`, whole: []string{"file 1 1"}},
		{name: "a directory in one that the image has", keep: "a/b/c", want: `cp -a $base/a/b a`, whole: []string{"a/b 2 2"}},
		{name: "what the image replaced", keep: "d", want: `rm d; cp -a $base/d .`, whole: []string{"d 2 2"}},
		{name: "hard links", keep: "l", container: `ln l/1 linked`, want: `rm l; cp -a $base/l .; rm l/2; echo l > l/2; ln l/1 linked`, whole: []string{"l 2 1"}},
		{name: "in a directory that the image wins", container: `echo mine > d/x; echo mine > d/e/y`, keep: "d/e", policy: merge.Image,
			want: `rm d; mkdir d; cp -a $base/d/e d; echo mine > d/e/y`, whole: []string{"d/e 1 0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := newUpgrade(t, base, "", len(test.name)%2 == 0)
			u.new = u.layer(t, "new", image, u.new)
			u.live(t, orTrue(test.container))
			var whole []string
			got, err := u.merge(t, "sealed", &merge.Changes{
				Keep: []string{test.keep}, Decide: func(string) merge.Policy { return test.policy },
				ReportWhole: func(w merge.Whole) {
					whole = append(whole, fmt.Sprint(w.Path, " ", w.Files, " ", w.Untouched))
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(whole, test.whole) {
				t.Errorf("whole are %q, want %q", whole, test.whole)
			}
			if err := u.compare(t, u.layer(t, "want", strings.ReplaceAll(test.want, "$base", base.one), u.new), got); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMergeKeepsOnlyWhatIsThere refuses paths that the container does not have.
func TestMergeKeepsOnlyWhatIsThere(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", true)
	init := makeDirs(t, u.dir, "init", 0)
	shell(t, init, `touch .dockerenv; mkdir dev; touch dev/console`)
	u.old = append([]string{init}, u.old...)
	u.new = u.layer(t, "new", `echo n > n`, u.new)
	u.live(t, `rm other`)
	u.container.Init = true
	for path, reason := range map[string]string{
		"n": "no such file", "other": "no such file", "a/none": "no such file", "none/none": "no such file", "file/x": "no directory",
		".dockerenv": "runtime", "dev": "no file or directory", "dev/console": "no file or directory",
	} {
		_, err := u.merge(t, "sealed-"+strings.ReplaceAll(path, "/", "-"), &merge.Changes{Keep: []string{"d", path}})
		if at, _, _ := strings.Cut(path, "/"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "/"+at) || !strings.Contains(err.Error(), reason) {
			t.Errorf("to keep %s gives %v", path, err)
		}
	}
}

// TestMergeTellsWhatGoes has an image without files that stand beside changed ones.
func TestMergeTellsWhatGoes(t *testing.T) {
	needRoot(t)
	u := newUpgrade(t, unpackBase(t), "", false)
	u.new = u.layer(t, "new", `rm a/link; rm -r a/b; rm d/x; rm file`, u.new)
	u.live(t, `echo mine > a/one; touch other2; echo n > d/n; rm d/x; echo mine > other`)
	var left []string
	if _, err := u.merge(t, "sealed", &merge.Changes{ReportLeft: func(l merge.Left) {
		left = append(left, fmt.Sprint(l.Path, " ", l.First, " ", l.Names))
	}}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a b 2", ". file 1"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}
