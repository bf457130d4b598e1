package images_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/integration/harness"
)

// packings are the ways to pack a layer, and the media types of what comes out.
var packings = []struct{ compression, mediaType string }{
	{"gzip", "application/vnd.oci.image.layer.v1.tar+gzip"},
	{"zstd", "application/vnd.oci.image.layer.v1.tar+zstd"},
	{"none", "application/vnd.oci.image.layer.v1.tar"},
}

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

// packed is a committed image and what its container's files were.
type packed struct {
	compression, name string
	id                digest.Digest
	tree              string
}

// commitPacked changes a container of base and commits it in each packing, as
// the tags of a repository. No two have the same layers, or else who has read
// one of them would not have to read the others.
func commitPacked(t *testing.T, e *harness.Env, base, repository string) []packed {
	t.Helper()
	id := e.Run(t, base, "set -e; "+changedTree)
	var all []packed
	for _, p := range packings {
		e.Must(t, "exec", id, "sh", "-c", "echo "+p.compression+" > /tree/packing")
		tree := e.Must(t, "exec", id, "/fstool", "list", "/tree")
		for _, want := range []string{"security.capability", "user.note", `is "/tree/link-1"`, `\xff\xfe`} {
			if !strings.Contains(tree, want) {
				t.Fatalf("the container has no %s:\n%s", want, tree)
			}
		}
		image := commitAs(t, e, id, p.compression, repository, p.compression)
		layers := e.Image(t, image.String()).Manifest.Layers
		if got := layers[len(layers)-1].MediaType; got != p.mediaType {
			t.Errorf("with %s the layer is of type %s", p.compression, got)
		}
		all = append(all, packed{p.compression, repository + ":" + p.compression, image, tree})
	}
	return all
}

// commitAs commits with a compression, which the docker command cannot choose.
func commitAs(t *testing.T, e *harness.Env, id, compression, repository, tag string) digest.Digest {
	t.Helper()
	query := url.Values{"container": {id}, "compression": {compression}, "repo": {repository}, "tag": {tag}}
	status, body := e.Post(t, "/commit?"+query.Encode())
	var answer struct{ ID digest.Digest }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusCreated {
		t.Fatalf("commit with %s: %d %s", compression, status, body)
	}
	return answer.ID
}

// sees fails the test if a container of the image does not find the tree.
func sees(t *testing.T, e *harness.Env, image, tree string) {
	t.Helper()
	got := e.Must(t, "run", "--rm", "--network=none", image, "/fstool", "list", "/tree")
	if diff := harness.LineDiff(tree, got); diff != "" {
		t.Errorf("a container of %s sees another tree:\n%s", image, diff)
	}
}
