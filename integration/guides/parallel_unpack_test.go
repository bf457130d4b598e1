package guides_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	imagespec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/baleen-project/baleen/diff/compare"
	"github.com/baleen-project/baleen/integration/fidelity"
	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// deepImage is in the registry, and has layers that delete and replace what others have.
const deepImage = harness.RegistryAddress + "/deep:1"

// parallel has containerd unpack three layers at a time, without those below.
const parallel = "[plugins.'io.containerd.transfer.v1.local']\nmax_concurrent_unpacks = 3\n"

// TestParallelUnpack pulls an image of seven layers, three of which may be unpacked at a
// time, by containerd's transfer service and by Kubernetes' image service, on overlayfs
// with our differ and on our snapshotter, in and beside containerd. What is unpacked is
// what containerd by itself unpacks one by one, and containers run on it, also with
// mapped ids.
func TestParallelUnpack(t *testing.T) {
	bin, err := stack.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(bin, harness.Proxied["containerd 2.4"])
	if _, err := os.Stat(program); errors.Is(err, os.ErrNotExist) {
		t.Skipf("there is no %s: run `make newest`", program)
	}
	config, err := harness.Output(exec.CommandContext(t.Context(), program, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	m := newContainerdMachine(t, program, config)
	store := t.TempDir()
	m.WithRegistry(t, store)
	m.pushDeep(t)
	m.pull(t, "stock", "overlayfs")
	stock, want := m.mounted(t, "stock", "overlayfs"), m.look(t, "stock", "overlayfs")

	blocks := proxyInstructions(t)
	m.follow(t, blocks["install"])
	m.follow(t, blocks["differ-for-all"])
	for _, sn := range []string{"overlayfs", "baleen"} {
		t.Run("proxied/"+sn, func(t *testing.T) {
			harness.WriteFile(t, m.path("parallel.toml"), "version = 3\n"+parallel+"[plugins.'io.containerd.cri.v1.images']\nsnapshotter = '"+sn+"'\n")
			m.run(t, "cp "+m.path("parallel.toml")+" /etc/containerd/conf.d/")
			m.systemctl(t, []string{"restart", "containerd"})
			if got := m.run(t, "containerd config dump | grep max_concurrent_unpacks"); !strings.HasSuffix(got, " = 3") {
				t.Errorf("containerd's configuration has %q", got)
			}
			m.pull(t, sn, sn)
			m.pullByKubernetes(t)
			// Our snapshotter refuses to be told a parent when a layer is committed, and so
			// its layers are unpacked one by one, by the same differ.
			log, err := os.ReadFile(m.path("containerd.log"))
			if err != nil || (sn == "overlayfs") == bytes.Contains(log, []byte("unpacking will be sequential")) {
				t.Errorf("containerd unpacks layers for %s in another way than it should: %v", sn, err)
			}
			for _, namespace := range []string{sn, "k8s.io"} {
				// By the pull: what is not unpacked yet ctr would unpack, by itself, to mount it.
				if got := m.run(t, "ctr -n "+namespace+" snapshot --snapshotter "+sn+" ls | grep -c Committed"); got != "7" {
					t.Errorf("the pull of %s has unpacked %s layers, want 7", namespace, got)
				}
				sameFiles(t, stock, m.mounted(t, namespace, sn))
				for _, ids := range []string{"", "--uidmap 0:100000:65536 --gidmap 0:100000:65536 --remap-labels "} {
					if got := m.look(t, namespace, sn, ids); got != want {
						t.Errorf("a container on %s %ssees\n%s\nwant\n%s", namespace, ids, got, want)
					}
				}
			}
		})
	}
	t.Run("linked", func(t *testing.T) {
		for _, name := range []string{"containerd", "containerd-2.4-baleen"} {
			t.Run(name, func(t *testing.T) { linkedParallel(t, filepath.Join(bin, name), store, stock) })
		}
	})
}

// linkedParallel is for a containerd that has the snapshotter linked in. One before 2.2
// unpacks one by one.
func linkedParallel(t *testing.T, program, store, stock string) {
	if _, err := os.Stat(program); errors.Is(err, os.ErrNotExist) {
		t.Skipf("there is no %s: run `go run ./cmd/mkstack %s`", program, filepath.Base(program))
	}
	e := harness.Start(t, stack.Config{ContainerdBin: program, ContainerdConfig: parallel})
	e.WithRegistry(t, store)
	e.Ctr(t, "image", "pull", "--plain-http", "--snapshotter", "baleen", deepImage)
	dir := t.TempDir()
	e.Ctr(t, "image", "mount", "--snapshotter", "baleen", deepImage, dir)
	sameFiles(t, stock, fmt.Sprintf("/proc/%d/root%s", e.Pid(stack.Containerd), dir))
	e.Ctr(t, "image", "unmount", "--rm", "--snapshotter", "baleen", dir)
}

// sameFiles compares two trees in all that layers carry. The root's time is no part of
// any layer.
func sameFiles(t *testing.T, want, got string) {
	t.Helper()
	err := compare.Trees(t.Context(), want, got, compare.Options{
		MaxDifferences: -1,
		Accept:         func(d compare.Difference) bool { return d.Path == "/" && d.Aspect == compare.ModTime },
	})
	if err != nil {
		t.Error(err)
	}
}

// pull has containerd's transfer service pull the image and unpack it.
func (m *machine) pull(t *testing.T, namespace, sn string) {
	t.Helper()
	m.run(t, "ctr -n "+namespace+" image pull --plain-http --snapshotter "+sn+" "+deepImage)
}

// pullByKubernetes asks the service that kubelet asks. PullImageRequest has an ImageSpec
// as its first field, and that the name as its first one; PullImageResponse has the
// image's id. So messages of single values are the same on the wire.
func (m *machine) pullByKubernetes(t *testing.T) {
	t.Helper()
	socket := fmt.Sprintf("unix:/proc/%d/root/run/containerd/containerd.sock", m.Pid(stack.Registry))
	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	spec, err := proto.Marshal(wrapperspb.String(deepImage))
	if err != nil {
		t.Fatal(err)
	}
	var id wrapperspb.StringValue
	if err := conn.Invoke(t.Context(), "/runtime.v1.ImageService/PullImage", wrapperspb.Bytes(spec), &id); err != nil {
		t.Fatal(err)
	}
	if digest.Digest(id.GetValue()).Validate() != nil {
		t.Errorf("the image's id is %q", id.GetValue())
	}
}

// mounted is where the image of a namespace is mounted until the end of the test.
func (m *machine) mounted(t *testing.T, namespace, sn string) string {
	t.Helper()
	dir := m.path("mounted", namespace+"-"+sn)
	m.run(t, "mkdir -p "+dir+" && ctr -n "+namespace+" image mount --snapshotter "+sn+" "+deepImage+" "+dir)
	t.Cleanup(func() {
		// The test's context has ended.
		cmd := m.command(context.WithoutCancel(t.Context()), "umount", dir)
		if out, err := harness.Output(cmd); err != nil {
			t.Errorf("unmount %s: %v: %s", dir, err, out)
		}
	})
	return fmt.Sprintf("/proc/%d/root%s", m.Pid(stack.Registry), dir)
}

// look is what a container of the image sees.
func (m *machine) look(t *testing.T, namespace, sn string, flags ...string) string {
	t.Helper()
	const script = "find /img | sort | xargs stat -c '%n %F %a %u:%g %Y %h'; find /img -type f | sort | xargs md5sum"
	return m.run(t, fmt.Sprintf("ctr -n %s run --rm --snapshotter %s %s %s look sh -c %q", namespace, sn, strings.Join(flags, " "), deepImage, script))
}

// pushDeep makes the image and brings it into the registry.
func (m *machine) pushDeep(t *testing.T) {
	t.Helper()
	layers, err := fidelity.DeepLayers()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.Create(m.path(m.dir, "deep.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if err := addLayers(archive, m.path(m.dir, "app.tar"), layers); err != nil {
		t.Fatal(err)
	}
	m.run(t, "ctr image import --local --no-unpack deep.tar")
	m.run(t, "ctr image push --plain-http "+deepImage)
}

// addLayers writes the archive of an image that has more layers than the one of another
// archive, packed with gzip.
func addLayers(to io.Writer, base string, layers [][]byte) error {
	files, err := harness.ReadArchive(base)
	if err != nil {
		return err
	}
	var manifests []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var config imagespec.DockerOCIImage
	if err := json.Unmarshal(files["manifest.json"], &manifests); err != nil {
		return err
	}
	manifest := &manifests[0]
	if err := json.Unmarshal(files[manifest.Config], &config); err != nil {
		return err
	}
	manifest.Config, manifest.RepoTags, config.History = "config.json", []string{deepImage}, nil
	for _, layer := range layers {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, err := z.Write(layer)
		if err := errors.Join(err, z.Close()); err != nil {
			return err
		}
		name := digest.FromBytes(layer).Encoded() + ".tar.gz"
		files[name] = packed.Bytes()
		manifest.Layers = append(manifest.Layers, name)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
	}
	var merr, cerr error
	files["manifest.json"], merr = json.Marshal(manifests)
	files["config.json"], cerr = json.Marshal(config)
	if err := errors.Join(merr, cerr); err != nil {
		return err
	}
	out := tar.NewWriter(to)
	for _, name := range append([]string{"manifest.json", "config.json"}, manifest.Layers...) {
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			return err
		}
		if _, err := out.Write(files[name]); err != nil {
			return err
		}
	}
	return out.Close()
}
