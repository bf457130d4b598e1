package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/engine"
	"github.com/baleen-project/baleen/compat/fork"
)

// eachLine runs a test for every engine line.
func eachLine(t *testing.T, test func(t *testing.T, m *maker)) {
	root, err := modtree.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range engine.Lines() {
		t.Run(string(line), func(t *testing.T) {
			m, err := newMaker(root, options{line: line, build: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			test(t, m)
		})
	}
}

// touched copies the files that the series is for from the pinned module into a
// folder. All of them would take seconds each time.
func touched(t *testing.T, m *maker) (dir string) {
	t.Helper()
	tree, err := m.origin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{fork.VerbsFile}
	for _, p := range m.series.Patches {
		for _, f := range p.Files {
			names = append(names, f.Path)
		}
	}
	dir = t.TempDir()
	for _, name := range names {
		text, err := tree.Original(name)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := write(path, text); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Whoever packages Moby applies the series with git: both ways make what we make.
func TestGitAppliesTheSeries(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		names, err := filepath.Glob(filepath.Join(m.folder, "*.patch"))
		if err != nil {
			t.Fatal(err)
		}
		for _, how := range [][]string{{"apply", "--whitespace=error-all", "--index"}, {"am", "-q"}} {
			t.Run(how[0], func(t *testing.T) {
				repo := touched(t, m)
				want, err := m.series.Files(func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(repo, name)) })
				if err != nil {
					t.Fatal(err)
				}
				git(t, repo, "init", "-q")
				git(t, repo, "add", "-A", "-f")
				git(t, repo, "commit", "-q", "-m", "Moby")
				git(t, repo, append(how, names...)...)
				for name, text := range want {
					if _, ours := m.series.Glue[name]; !ours && !bytes.Equal(get(t, filepath.Join(repo, name)), text) {
						t.Errorf("git makes another %s", name)
					}
				}
			})
		}
	})
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := runGit(t.Context(), dir, nil, args...); err != nil {
		t.Fatal(err)
	}
}

// copyLine returns a refresher for a copy of the series, on the files it is for.
func copyLine(t *testing.T, m *maker) refresher {
	t.Helper()
	r := refresher{folder: t.TempDir(), repo: filepath.Join(t.TempDir(), "series"), tree: &modtree.Tree{Pin: m.pin, Origin: touched(t, m)}}
	for name, text := range series(t, m.folder) {
		put(t, filepath.Join(r.folder, name), text)
	}
	put(t, filepath.Join(r.folder, "_glue", "x.go"), []byte("package x\n"))
	return r
}

// series returns the patches in a folder, by name.
func series(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		files[filepath.Base(name)] = get(t, name)
	}
	return files
}

func refreshed(t *testing.T, r refresher) {
	t.Helper()
	if err := r.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func wantSeries(t *testing.T, dir string, want map[string][]byte) {
	t.Helper()
	got := series(t, dir)
	for name, text := range want {
		if !bytes.Equal(got[name], text) {
			t.Errorf("%s is now\n%s", name, got[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are %d patches, want %d", len(got), len(want))
	}
}

func TestRefreshOfAnUnchangedTree(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		r, want := copyLine(t, m), series(t, m.folder)
		refreshed(t, r) // makes the repository
		wantSeries(t, r.folder, want)
		refreshed(t, r) // reads it
		wantSeries(t, r.folder, want)
	})
}

func TestRefreshWritesTheCommits(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		r, want := copyLine(t, m), series(t, m.folder)
		refreshed(t, r)
		const file = "daemon/kill.go"
		path := filepath.Join(r.repo, file)
		git(t, r.repo, "reset", "-q", "--hard", "HEAD~1") // the last patch goes
		put(t, path, append(get(t, path), "\n// The end.\n"...))
		if err := r.refresh(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("a change in no commit: %v", err)
		}
		git(t, r.repo, "commit", "-qam", "daemon: say where it ends")
		if err := r.refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "reason") {
			t.Errorf("a commit without a reason: %v", err)
		}
		git(t, r.repo, "commit", "-q", "--amend", "-m", "daemon: say where it ends", "-m", "Nobody saw it.")
		refreshed(t, r)
		last := m.series.Patches[len(m.series.Patches)-1].Name
		delete(want, last)
		added := last[:4] + "-daemon-say-where-it-ends.patch"
		want[added] = get(t, filepath.Join(r.folder, added))
		wantSeries(t, r.folder, want)
		for _, part := range []string{"Subject: [PATCH] daemon: say where it ends\n\nNobody saw it.\n---\n", "--- a/" + file, "\n+// The end.\n"} {
			if !strings.Contains(string(want[added]), part) {
				t.Errorf("%q is not in\n%s", part, want[added])
			}
		}
	})
}

func TestRefreshKeepsASeriesThatItsRepositoryDoesNotKnow(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		r := copyLine(t, m)
		refreshed(t, r)
		name := filepath.Join(r.folder, m.series.Patches[0].Name)
		changed := bytes.Replace(get(t, name), []byte("\n---\n"), []byte("\nSo be it.\n---\n"), 1)
		put(t, name, changed)
		if err := r.refresh(t.Context()); err == nil || !strings.Contains(err.Error(), r.repo) {
			t.Errorf("got %v", err)
		}
		if !bytes.Equal(get(t, name), changed) {
			t.Error("the changed patch was written over")
		}
	})
}

// On another version of Moby some hunks do not fit: a person sees which, and the
// series is not written without them.
func TestRefreshOnAnotherVersion(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		r := copyLine(t, m)
		first := m.series.Patches[0]
		hunk := first.Files[0].Hunks[0]
		path := filepath.Join(r.tree.Origin, first.Files[0].Path)
		put(t, path, bytes.Replace(get(t, path), hunk.Old(), []byte("// another line\n"), 1))
		want := series(t, r.folder)
		if err := r.refresh(t.Context()); err == nil || !strings.Contains(err.Error(), incomplete+first.Subject) {
			t.Errorf("got %v", err)
		}
		wantSeries(t, r.folder, want)
		// The same is what a check says.
		var out bytes.Buffer
		if err := m.checkFits(t.Context(), r.tree.Origin, &out); !errors.Is(err, errDoesNotFit) {
			t.Errorf("check: %v", err)
		}
		for i, p := range m.series.Patches {
			if word := map[bool]string{true: "FAILS ", false: "fits  "}[i == 0]; !strings.Contains(out.String(), word+p.Name+"\n") {
				t.Errorf("not %s%s:\n%s", word, p.Name, out.String())
			}
		}
	})
}

func TestCheckOfThePinnedVersion(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		if err := m.checkFits(t.Context(), m.pin.Version, io.Discard); err != nil {
			t.Error(err)
		}
	})
}

func TestAFolderThatIsNotMoby(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		dir := t.TempDir()
		const want = "is not the source of Moby"
		if err := m.checkFits(t.Context(), dir, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check: %v", err)
		}
		if _, err := newMaker(m.root, options{line: m.line, source: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("source: %v", err)
		}
	})
}

func TestOptionsThatContradictEachOther(t *testing.T) {
	for _, tc := range []struct {
		options options
		err     string
	}{
		{options{diff: true, check: "28.5.2"}, "-check and -diff"},
		{options{tree: true, refresh: true}, "-refresh and -tree"},
		{options{vet: true, types: true}, "-types and -vet"},
		{options{stock: true, check: "28.5.2"}, "-check needs the patches"},
		{options{stock: true, types: true}, "-types needs the patches"},
		{options{test: "./daemon"}, "-test needs -o"},
		{options{test: "./daemon", output: "daemon.test", overlay: "o.json"}, "-overlay needs -stock and -test"},
		{options{stock: true, overlay: "o.json"}, "-overlay needs -stock and -test"},
		{options{stock: true, test: "./daemon", output: "daemon.test", overlay: "o.json"}, ""},
		{options{release: "29.8.1"}, "-release needs -source"},
		{options{source: ".", release: "29' -X 'main.x=y"}, "must be a version"},
		{options{source: ".", release: "29.8.1-0ubuntu1~24.04"}, ""},
		{options{stock: true, tree: true}, ""},
		{options{}, ""},
	} {
		err := tc.options.validate()
		if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%+v: error %v, want %q", tc.options, err, tc.err)
		}
	}
}

// A packager's tree has patches of its own, links and a repository.
func TestSourceOfAPackager(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		m.source = touched(t, m)
		first := m.series.Patches[0].Files[0]
		path := filepath.Join(m.source, first.Path)
		old := first.Hunks[0].Old()
		put(t, path, bytes.Replace(get(t, path), old, append([]byte("// ours\n"), old...), 1))
		put(t, filepath.Join(m.source, ".git", "HEAD"), nil)
		put(t, filepath.Join(m.source, "vendor", "modules.txt"), nil)
		if err := os.Symlink("/", filepath.Join(m.source, "link")); err != nil {
			t.Fatal(err)
		}
		tree, err := m.open(t.Context(), filepath.Join(m.build, "tree"))
		if err != nil {
			t.Fatal(err)
		}
		files, err := m.series.Files(tree.Original)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Sync(files); err != nil {
			t.Fatal(err)
		}
		text := get(t, filepath.Join(tree.Dir, first.Path))
		for _, part := range [][]byte{[]byte("// ours\n"), first.Hunks[0].New()} {
			if !bytes.Contains(text, part) {
				t.Errorf("%q is not in %s", part, first.Path)
			}
		}
		for _, name := range []string{".git", "vendor", "link"} {
			if _, err := os.Lstat(filepath.Join(tree.Dir, name)); !os.IsNotExist(err) {
				t.Errorf("%s was copied: %v", name, err)
			}
		}
		for _, dir := range []string{m.source, filepath.Join(m.source, "build"), filepath.Dir(m.source)} {
			if _, err := modtree.OpenSource(m.pin, m.source, dir); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s was made of %s: %v", dir, m.source, err)
			}
		}
	})
}

// The releases that are pinned are those of which we say that the series fits them.
func TestSeriesFitsThePinnedReleases(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		pins, err := modtree.Releases(m.line)
		if err != nil {
			t.Fatal(err)
		}
		for _, pin := range pins {
			if err := m.checkFits(t.Context(), pin.Release, io.Discard); err != nil {
				t.Errorf("Moby %s: %v", pin.Release, err)
			}
		}
	})
}
