package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/integration/suites"
)

// testsPackage is the folder of the tests in containerd's tree.
const testsPackage = "integration/client"

// compile brings the test binary of a version up to date, and the tree of its
// sources. The go command's cache makes this cheap when nothing has changed.
func compile(ctx context.Context, repo string, v version, busybox digest.Digest) (binary, tree string, err error) {
	dir := filepath.Join(repo, ".build", "suites")
	binary = filepath.Join(dir, "containerd-"+v.name+".test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("compile tests: %w", err)
	}
	if tree, err = v.mkstack(ctx, repo, "-tree", v.stock); err != nil {
		return "", "", fmt.Errorf("find containerd's tree: %w", err)
	}
	replace, err := adapt(tree, filepath.Join(dir, "containerd-"+v.name), busybox)
	if err != nil {
		return "", "", fmt.Errorf("adapt tests: %w", err)
	}
	overlay := filepath.Join(dir, "containerd-"+v.name+".json")
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(overlay, text, 0o644)
	}
	if err != nil {
		return "", "", fmt.Errorf("adapt tests: %w", err)
	}
	if _, err := v.mkstack(ctx, repo, "-test", "./"+testsPackage, "-o", binary, "-overlay", overlay, v.stock); err != nil {
		return "", "", fmt.Errorf("compile tests: %w", err)
	}
	return binary, tree, nil
}

const (
	// defaultName is how most tests name the snapshotter, a constant, although
	// TEST_SNAPSHOTTER may ask for another one, whose name is then in testName.
	defaultName = "defaults.DefaultSnapshotter"
	testName    = "testSnapshotter"
	// suiteName is where the name says what the snapshot suite expects of a
	// snapshotter, such as that directories below cannot be renamed. Ours is like
	// overlayfs in that.
	suiteName = "SnapshotterSuite(t, " + defaultName
	// busyboxDigest is of an image that a test wants by its digest, which an image
	// that is made here cannot have.
	busyboxDigest = "7b3ccabffc97de872a30dfd234fd972a66d247c8cfc69b0550f276481852627c"
)

// adapt writes those sources that must change so that the tests concern the
// snapshotter of TEST_SNAPSHOTTER and the images that are made here, and leave nothing
// on the machine, to the folder dir. It returns which file each replaces. The tree
// itself stays as it is.
func adapt(tree, dir string, busybox digest.Digest) (map[string]string, error) {
	tests, err := filepath.Glob(filepath.Join(tree, testsPackage, "*_test.go"))
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	replace := map[string]string{}
	put := func(original string, change func([]byte) []byte) error {
		text, err := os.ReadFile(original)
		if err != nil {
			return err
		}
		changed := change(text)
		if bytes.Equal(text, changed) {
			return nil
		}
		replace[original] = filepath.Join(dir, filepath.Base(original))
		return write(replace[original], changed)
	}
	named := false
	for _, path := range tests {
		err := put(path, func(text []byte) []byte {
			chosen := chooseSnapshotter(text)
			named = named || !bytes.Equal(text, chosen)
			return stayInside(chosen)
		})
		if err != nil {
			return nil, err
		}
	}
	if !named {
		return nil, errors.New("no test names " + defaultName)
	}
	list := filepath.Join(tree, "integration", "images", "image_list.go")
	return replace, put(list, func(text []byte) []byte {
		return bytes.ReplaceAll(text, []byte(busyboxDigest), []byte(busybox.Encoded()))
	})
}

var defaultNames = regexp.MustCompile(regexp.QuoteMeta(defaultName) + `\b`)

// chooseSnapshotter has tests use the snapshotter that they were told to use.
func chooseSnapshotter(text []byte) []byte {
	const kept = "\x00"
	s := strings.ReplaceAll(string(text), suiteName, kept)
	s = strings.ReplaceAll(s, `snapshotter = "overlayfs"`, "snapshotter = "+testName)
	if changed := defaultNames.ReplaceAllString(s, testName); changed != s {
		// The import stays in use.
		s = changed + "\nvar _ = " + defaultName + "\n"
	}
	return []byte(strings.ReplaceAll(s, kept, suiteName))
}

// stayInside moves what tests would leave on the machine below /run, which is the
// stack's own: the folder of a runc, and /opt/containerd, which a containerd makes
// that was not told another.
func stayInside(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte(`"/tmp/runc-test"`), []byte(`"/run/runc-test"`))
	const config, more = "[]byte(configTOML)", "\n[plugins.'io.containerd.internal.v1.opt']\npath = '/run/opt'\n"
	return bytes.ReplaceAll(text, []byte(config), fmt.Appendf(nil, "[]byte(configTOML + %q)", more))
}

// mkstack runs the command of that name for the version's engine line, and
// returns what it printed.
func (v version) mkstack(ctx context.Context, repo string, args ...string) (string, error) {
	return suites.GoRun(ctx, repo, "./cmd/mkstack", append([]string{"-engine", string(v.line)}, args...)...)
}
