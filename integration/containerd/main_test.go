package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-version", "2.3", "-on", "linked,stock"})
	if err != nil || len(o.versions) != 1 || o.versions[0].name != "2.3" || !o.stock || len(o.setups) != 1 || o.setups[0] != "linked" {
		t.Errorf("options are %+v, %v", o, err)
	}
	o, err = parse(nil)
	if err != nil || len(o.versions) != len(versions) || len(o.setups) != len(setups)-1 || !o.stock {
		t.Errorf("without flags options are %+v, %v", o, err)
	}
	for _, tc := range []struct{ args, want string }{
		{"-version 1.7", `no version "1.7"`},
		{"-on overlayfs", `no set-up "overlayfs": there are stock, differ, proxy, linked`},
		{"more", `unexpected argument "more"`},
	} {
		if _, err := parse(strings.Fields(tc.args)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error is %v, want %q", tc.args, err, tc.want)
		}
	}
}

// The tests are adapted in every place that names the snapshotter, and nowhere else.
func TestAdapt(t *testing.T) {
	tree, dir := t.TempDir(), filepath.Join(t.TempDir(), "changed")
	other := strings.Repeat("ab", 32)
	for name, text := range map[string]string{
		"integration/client/a_test.go":     "defaults.DefaultSnapshotter defaults.DefaultSnapshotterNSLabel",
		"integration/client/b_test.go":     `snapshotter = "overlayfs"`,
		"integration/client/c_test.go":     "testsuite.SnapshotterSuite(t, defaults.DefaultSnapshotter, f)",
		"integration/client/e_test.go":     `runcRoot = "/tmp/runc-test"`,
		"integration/client/f_test.go":     "os.WriteFile(name, []byte(configTOML), 0600)",
		"integration/client/d.go":          "testSnapshotter = defaults.DefaultSnapshotter",
		"integration/images/image_list.go": busyboxDigest,
	} {
		if err := write(filepath.Join(tree, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	replace, err := adapt(tree, dir, digest.Digest("sha256:"+other))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"integration/client/a_test.go":     "testSnapshotter defaults.DefaultSnapshotterNSLabel\nvar _ = defaults.DefaultSnapshotter\n",
		"integration/client/b_test.go":     "snapshotter = testSnapshotter",
		"integration/client/e_test.go":     `runcRoot = "/run/runc-test"`,
		"integration/client/f_test.go":     `os.WriteFile(name, []byte(configTOML + "\n[plugins.'io.containerd.internal.v1.opt']\npath = '/run/opt'\n"), 0600)`,
		"integration/images/image_list.go": other,
	} {
		original := filepath.Join(tree, name)
		got, err := os.ReadFile(replace[original])
		if err != nil || string(got) != want {
			t.Errorf("%s becomes %q, want %q: %v", name, got, want, err)
		}
		delete(replace, original)
	}
	if len(replace) > 0 {
		t.Errorf("these are replaced as well: %v", replace)
	}
}

// A registry's folder has every blob that an index leads to, and the names.
func TestStoreIsWhole(t *testing.T) {
	s := store(t.TempDir())
	for _, docker := range []bool{false, true} {
		i := image{
			names: []string{"example.com/a/b:1", "example.com/c:2"}, platforms: everyPlatform(), docker: docker,
			layers: []layer{{dir("d"), file("d/f", 0o600, "content")}, {file("d/.wh.f", 0o644, "")}},
		}
		d, err := i.put(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range []string{"a/b/_manifests/tags/1", "c/_manifests/tags/2"} {
			link, err := os.ReadFile(s.path("repositories", tag, "current", "link"))
			if err != nil || string(link) != d.String() {
				t.Errorf("%s is %s, want %s: %v", tag, link, d, err)
			}
		}
		var index ocispec.Index
		s.load(t, d, &index)
		if len(index.Manifests) != len(i.platforms) {
			t.Errorf("the index has %d manifests", len(index.Manifests))
		}
		for _, m := range index.Manifests {
			var manifest ocispec.Manifest
			s.load(t, m.Digest, &manifest)
			s.load(t, manifest.Config.Digest, &ocispec.Image{})
			if len(manifest.Layers) != len(i.layers)+1 {
				t.Errorf("a manifest has %d layers", len(manifest.Layers))
			}
			for _, l := range append(manifest.Layers, manifest.Config) {
				if _, err := os.Stat(s.path("repositories", "a/b", "_layers", "sha256", l.Digest.Encoded(), "link")); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// load reads a blob of JSON, whose content must have its digest.
func (s store) load(t *testing.T, d digest.Digest, into any) {
	t.Helper()
	text, err := os.ReadFile(s.path("blobs", "sha256", d.Encoded()[:2], d.Encoded(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if got := digest.FromBytes(text); got != d {
		t.Errorf("blob %s has digest %s", d, got)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// What is packed can be read by others, whiteouts and all.
func TestLayerIsReadByTar(t *testing.T) {
	plain, packed, err := layer{dir("d"), file("d/f", 0o4750, "content"), file(".wh.gone", 0o644, "")}.pack()
	if err != nil {
		t.Fatal(err)
	}
	for flag, stream := range map[string][]byte{"-tv": plain, "-tzv": packed} {
		cmd := exec.CommandContext(t.Context(), "tar", flag)
		cmd.Stdin = bytes.NewReader(stream)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("tar %s: %v: %s", flag, err, out)
		}
		for _, want := range []string{"drwxr-xr-x", "-rwsr-x---", "d/f", ".wh.gone"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("tar %s prints no %s:\n%s", flag, want, out)
			}
		}
	}
}

func TestIdentityIsThatOfItsHosts(t *testing.T) {
	id, err := newIdentity(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(id.certificate, id.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			t.Error(fmt.Errorf("%s: %w", host, err))
		}
	}
	if err := pair.Leaf.CheckSignatureFrom(pair.Leaf); err != nil {
		t.Error(err)
	}
}
