package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/integration/stack"
)

// packings are the ways to pack a layer, and the media types of what comes out.
var packings = []struct{ compression, mediaType string }{
	{"gzip", "application/vnd.oci.image.layer.v1.tar+gzip"},
	{"zstd", "application/vnd.oci.image.layer.v1.tar+zstd"},
	{"none", "application/vnd.oci.image.layer.v1.tar"},
}

// baseTree makes what changedTree changes. What is large takes several of the
// compressors' blocks.
const baseTree = `
	mkdir -p /tree/gone/deep /tree/opaque/sub /tree/kept /tree/dir-to-file
	for f in gone/deep/1 gone-file opaque/1 opaque/sub/2 kept/one dir-to-file/1 file-to-dir written; do
		echo "$f of the base" > /tree/$f
	done
	ln /tree/kept/one /tree/kept/two
	ln -s nowhere /tree/dangling
	cp /bin/busybox /tree/setuid
	chmod 4755 /tree/setuid`

const changedTree = `
	cd /tree
	rm -r gone gone-file dangling opaque file-to-dir dir-to-file
	mkdir opaque file-to-dir
	echo new > opaque/new
	echo inside > file-to-dir/1
	echo file > dir-to-file
	echo more >> written
	chmod 600 kept/two
	echo linked > link-1
	ln link-1 opaque/link-2
	ln link-1 link-3
	ln -s ../kept opaque/symbolic
	cp /bin/busybox new-setuid
	chown 12:34 new-setuid
	chmod 6755 new-setuid
	cp /bin/busybox capable
	/fstool setxattr security.capability '\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00' capable
	/fstool setxattr user.note krill written
	mkfifo -m 640 fifo
	mknod -m 666 null c 1 3
	mkdir -m 1777 sticky
	: > empty
	chown 2000000:3000000 empty
	for n in 'a b' '-rf' "it's" 'a:b,c=d' '*' 'кит' '.wild' '...'; do
		echo "$n" > "./$n"
	done
	printf x > "$(printf '\377\376')"
	printf x > "$(printf 'line\nbreak')"
	printf x > "$(printf 'n%.0s' $(seq 255))"
	/fstool mtime 1000000000 link-1 opaque
	dd if=/dev/urandom of=random bs=1M count=64 2>/dev/null
	seq 1 2000000 > text`

// forkWithTree starts a fork and makes the image "tree" in it.
func forkWithTree(t *testing.T) *env {
	t.Helper()
	e := newEnv(t, stack.Config{}, "busybox")
	id := e.docker(t, "create", "busybox", "sh", "-ec", baseTree)
	defer e.remove(t, id)
	e.docker(t, "cp", buildFSTool(t), id+":/fstool")
	e.docker(t, "start", "-a", id)
	e.docker(t, "commit", id, "tree")
	return e
}

// buildFSTool compiles the program that lists trees inside containers.
func buildFSTool(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fstool")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, "./fidelity/fstool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := output(cmd); err != nil {
		t.Fatalf("build fstool: %v\n%s", err, out)
	}
	return path
}

// packed is a committed image and what its container's files were.
type packed struct {
	compression, name string
	id                digest.Digest
	tree              string
}

// commitPacked changes a container of base and commits it in each packing, as
// the tags of a repository. No two have the same layers, or else who has read
// one of them would not have to read the others.
func (e *env) commitPacked(t *testing.T, base, repository string) []packed {
	t.Helper()
	id := e.run(t, base, "set -e; "+changedTree)
	var all []packed
	for _, p := range packings {
		e.docker(t, "exec", id, "sh", "-c", "echo "+p.compression+" > /tree/packing")
		tree := e.docker(t, "exec", id, "/fstool", "list", "/tree")
		for _, want := range []string{"security.capability", "user.note", `is "/tree/link-1"`, `\xff\xfe`} {
			if !strings.Contains(tree, want) {
				t.Fatalf("the container has no %s:\n%s", want, tree)
			}
		}
		image := e.commitAs(t, id, p.compression, repository, p.compression)
		layers := e.image(t, image.String()).manifest.Layers
		if got := layers[len(layers)-1].MediaType; got != p.mediaType {
			t.Errorf("with %s the layer is of type %s", p.compression, got)
		}
		all = append(all, packed{p.compression, repository + ":" + p.compression, image, tree})
	}
	return all
}

// commitAs commits with a compression, which the docker command cannot choose.
func (e *env) commitAs(t *testing.T, id, compression, repository, tag string) digest.Digest {
	t.Helper()
	query := url.Values{"container": {id}, "compression": {compression}, "repo": {repository}, "tag": {tag}}
	status, body := e.post(t, "/commit?"+query.Encode())
	var answer struct{ ID digest.Digest }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusCreated {
		t.Fatalf("commit with %s: %d %s", compression, status, body)
	}
	return answer.ID
}

// sees fails the test if a container of the image does not find the tree.
func (e *env) sees(t *testing.T, image, tree string) {
	t.Helper()
	got := e.docker(t, "run", "--rm", "--network=none", image, "/fstool", "list", "/tree")
	if diff := lineDiff(tree, got); diff != "" {
		t.Errorf("a container of %s sees another tree:\n%s", image, diff)
	}
}

// lineDiff lists the lines that only one of two texts has.
func lineDiff(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	var diff []string
	for _, line := range wants {
		if !slices.Contains(gots, line) {
			diff = append(diff, "- "+line)
		}
	}
	for _, line := range gots {
		if !slices.Contains(wants, line) {
			diff = append(diff, "+ "+line)
		}
	}
	if len(diff) == 0 && len(wants) != len(gots) {
		diff = []string{fmt.Sprintf("%d lines became %d", len(wants), len(gots))}
	}
	return strings.Join(diff, "\n")
}
