package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/baleen-project/baleen/cmd/internal/modtree"
	"github.com/baleen-project/baleen/compat/fork"
)

// The series is edited as a git repository in the build folder: Moby's files,
// and one commit a patch on top.
const (
	baseTag = "moby" // Moby's own files
	// seriesMark, in the repository's .git, is of the series that its commits were
	// made of, or written to, last.
	seriesMark = "baleen-series"
	// incomplete begins the subject of a commit that lacks hunks which did not fit.
	incomplete = "INCOMPLETE: "
)

// refresher writes the series of an engine line from the commits of its repository.
type refresher struct {
	folder string // of the engine line in compat/fork
	repo   string
	tree   *modtree.Tree // of which only Origin is read
}

func (m *maker) refresh(ctx context.Context) error {
	t, err := m.origin(ctx)
	if err != nil {
		return err
	}
	return refresher{m.folder, filepath.Join(m.build, "series"), t}.refresh(ctx)
}

// refresh writes the series from the repository, which is made of the series
// first if there is none. Then it writes what it read.
func (r refresher) refresh(ctx context.Context) error {
	have, err := r.digest()
	if err != nil {
		return err
	}
	mark := filepath.Join(r.repo, ".git", seriesMark)
	made, err := os.ReadFile(mark)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := r.create(ctx); err != nil {
			return err
		}
		if err := os.WriteFile(mark, []byte(have), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "Made %s from the series. Change its commits, then run this again.\n", r.repo)
	case err != nil:
		return err
	case string(made) != have:
		return fmt.Errorf("refresh: the patches in %s or the version of Moby have changed since the repository %s was made: keep the commits that are only there, remove it and run this again", r.folder, r.repo)
	}
	patches, err := r.export(ctx)
	if err != nil {
		return err
	}
	if err := r.write(patches); err != nil {
		return err
	}
	if have, err = r.digest(); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(have), 0o644)
}

// digest names the state of the series' files and the version they are for.
func (r refresher) digest() (string, error) {
	names, err := filepath.Glob(filepath.Join(r.folder, "*.patch")) // sorted
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", r.tree.Origin)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %x\n", filepath.Base(name), sha256.Sum256(text))
	}
	return fmt.Sprintf("%x\n", h.Sum(nil)), nil
}

// create makes the repository: Moby's files and a commit a patch. Hunks that do
// not fit are left out, which the commit's subject and text tell.
func (r refresher) create(ctx context.Context) error {
	s, err := fork.Load(os.DirFS(r.folder))
	if err != nil {
		return err
	}
	if _, err := os.Lstat(r.repo); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("refresh: %s is left of a run that was cut short: remove it and run this again: %w", r.repo, errors.Join(err, fs.ErrExist))
	}
	if err := modtree.CopyFiles(r.tree.Origin, r.repo); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "-A", "-f"},
		{"commit", "-q", "-m", "Moby"},
		{"tag", baseTag},
	} {
		if _, err := r.git(ctx, nil, args...); err != nil {
			return err
		}
	}
	for _, p := range s.Patches {
		if err := r.commit(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// commit applies a patch and commits it under its message.
func (r refresher) commit(ctx context.Context, p fork.Patch) error {
	message := p.Subject + "\n\n" + p.Body
	args := []string{"commit", "-q", "--allow-empty", "--cleanup=verbatim", "-F", "-", "--"}
	var left []string
	for _, f := range p.Files {
		path := filepath.Join(r.repo, f.Path)
		text, err := os.ReadFile(path)
		if err != nil {
			left = append(left, err.Error())
			continue
		}
		for i, h := range f.Hunks {
			out, err := h.Apply(text)
			if err != nil {
				left = append(left, fmt.Sprintf("hunk %d of %s (line %d): %v", i+1, f.Path, h.OldLine, err))
				continue
			}
			text = out
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
		args = append(args, f.Path)
	}
	if len(left) > 0 {
		message = incomplete + message + "\n" + strings.Join(left, "\n") + "\n"
		fmt.Fprintf(os.Stderr, "patch %s is incomplete: %s\n", p.Name, strings.Join(left, "; "))
	}
	_, err := r.git(ctx, []byte(message), args...)
	return err
}

// export reads the commits as patches, each narrowed on the files before it.
func (r refresher) export(ctx context.Context) ([]fork.Patch, error) {
	status, err := r.git(ctx, nil, "status", "--porcelain", "--untracked-files=all")
	if err != nil {
		return nil, err
	}
	if len(status) > 0 {
		return nil, fmt.Errorf("refresh: %s has changes that are in no commit, so in no patch:\n%s", r.repo, status)
	}
	if err := r.checkComplete(ctx); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "mkdockerd-refresh-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // an unnamed folder of a few kilobytes
	// One line of context, so that changes with fewer than three lines between
	// them are one hunk: Narrow needs a line for each side.
	if _, err := r.git(ctx, nil, "format-patch", "-q", "-o", tmp, "-U1", "-p", "--no-stat", "--no-numbered", "--no-signature",
		"--no-renames", "--diff-algorithm=myers", "--indent-heuristic", "--src-prefix=a/", "--dst-prefix=b/", baseTag+"..HEAD"); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(tmp, "*.patch")) // sorted
	if err != nil {
		return nil, err
	}
	var patches []fork.Patch
	files := map[string][]byte{}
	read := func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return text, nil
		}
		return r.tree.Original(path)
	}
	for _, name := range names {
		p, err := r.one(name, read)
		if err != nil {
			return nil, err
		}
		changed, err := p.Apply(read)
		if err != nil {
			return nil, err
		}
		for path, text := range changed {
			files[path] = text
		}
		patches = append(patches, p)
	}
	return patches, r.sameAsHead(files)
}

// checkComplete returns an error that names the first commit that lacks hunks. It may be
// empty, of which git makes no patch.
func (r refresher) checkComplete(ctx context.Context) error {
	subjects, err := r.git(ctx, nil, "log", "--reverse", "--format=%s", baseTag+"..HEAD")
	if err != nil {
		return err
	}
	for s := range strings.Lines(string(subjects)) {
		if strings.HasPrefix(s, incomplete) {
			return fmt.Errorf("refresh: complete the commit %q in %s, and remove that word from its subject", strings.TrimSpace(s), r.repo)
		}
	}
	return nil
}

// one reads a patch that git wrote, and narrows it.
func (r refresher) one(name string, read func(string) ([]byte, error)) (fork.Patch, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return fork.Patch{}, err
	}
	p, err := fork.Parse(filepath.Base(name), text)
	switch {
	case err != nil:
		return p, err
	case strings.HasPrefix(p.Subject, "=?"):
		return p, fmt.Errorf("refresh: the subject of %s must be ASCII", p.Name)
	case p.Body == "":
		return p, fmt.Errorf("refresh: the message of %s has no body: write the reason of the patch there", p.Name)
	}
	return p.Narrow(read)
}

// sameAsHead returns an error if the patches do not give the files of the last commit.
func (r refresher) sameAsHead(files map[string][]byte) error {
	for path, text := range files {
		want, err := os.ReadFile(filepath.Join(r.repo, path))
		if err != nil {
			return err
		}
		if !bytes.Equal(text, want) {
			return fmt.Errorf("refresh: applied in order, the patches do not make %s what it is in %s: this is a bug of mkdockerd", path, r.repo)
		}
	}
	return nil
}

// write makes the line's folder hold these patches and no others.
func (r refresher) write(patches []fork.Patch) error {
	wanted := map[string]bool{}
	for _, p := range patches {
		wanted[p.Name] = true
		path, text := filepath.Join(r.folder, p.Name), p.Format()
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
			continue
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
		fmt.Println("wrote", path)
	}
	names, err := filepath.Glob(filepath.Join(r.folder, "*.patch"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if wanted[filepath.Base(name)] {
			continue
		}
		if err := os.Remove(name); err != nil {
			return err
		}
		fmt.Println("removed", name)
	}
	return nil
}

// git runs git in the repository, with no configuration but its own.
func (r refresher) git(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	return runGit(ctx, r.repo, stdin, args...)
}

func runGit(ctx context.Context, dir string, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_DIR="+filepath.Join(dir, ".git"),
		"GIT_WORK_TREE="+dir, "GIT_AUTHOR_NAME=Baleen", "GIT_AUTHOR_EMAIL=maintainers@baleen.invalid",
		"GIT_COMMITTER_NAME=Baleen", "GIT_COMMITTER_EMAIL=maintainers@baleen.invalid")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s in %s: %w\n%s", args[0], dir, err, stderr.Bytes())
	}
	return out, nil
}
