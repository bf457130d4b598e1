package checkpoint_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/containerstore/checkpoint"
	"github.com/baleen-project/baleen/containerstore/internal/blobtest"
)

// checkpointTexts are the texts that a checkpoint is made of. Each can refer to
// those before it: "@2" is the digest of the text with number 2 and "#2" its size.
// Number 0 is a layer.
type checkpointTexts [6]string

func (c *checkpointTexts) store() (b *blobtest.Store, refer *strings.Replacer) {
	b = blobtest.New()
	var pairs []string
	refer = strings.NewReplacer()
	for i, text := range c {
		c[i] = refer.Replace(text)
		pairs = append(pairs, fmt.Sprint("@", i), b.Add(c[i]).String(), fmt.Sprint("#", i), fmt.Sprint(len(c[i])))
		refer = strings.NewReplacer(pairs...)
	}
	return b, refer
}

const (
	seedBase      = `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@0","size":#0}]}`
	seedConfig    = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["@0","@0"]}}`
	seedContainer = `{"id":"c","name":"n","created":"2026-11-28T00:00:00Z","platform":{"architecture":"amd64","os":"linux"},"config":{"Env":["A=1"]},"hostConfig":{"Privileged":true},"networks":{"bridge":{}},"volumes":["/v"]}`
	seedManifest  = `{"schemaVersion":2,"artifactType":"application/vnd.baleen.checkpoint.v1","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@2","size":#2},` +
		`"annotations":{"io.baleen.checkpoint.kind":"files","org.opencontainers.image.created":"2026-11-28T00:00:00Z","io.baleen.checkpoint.container":"n"},"layers":[` +
		`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@0","size":#0},{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@0","size":#0},` +
		`{"mediaType":"application/vnd.baleen.checkpoint.base.manifest.v1+json","digest":"@1","size":#1,"annotations":{"io.baleen.checkpoint.mediatype":"application/vnd.oci.image.manifest.v1+json"}},` +
		`{"mediaType":"application/vnd.baleen.checkpoint.container.v1+json","digest":"@3","size":#3}]}`
	seedIndex = `{"schemaVersion":2,"artifactType":"application/vnd.baleen.checkpoint.v1","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@4","size":#4,"platform":{"architecture":"amd64","os":"linux"}}]}`
	seedFlat  = `{"schemaVersion":2,"annotations":{"io.containerd.checkpoint.runtime":"io.containerd.runc.v2","org.opencontainers.image.ref.name":"i"},"manifests":[` +
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@1","size":#1},{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@0","size":#0,"platform":{"architecture":"amd64","os":"linux"}},` +
		`{"mediaType":"application/vnd.containerd.container.checkpoint.config.v1+proto","digest":"@3","size":#3},{"mediaType":"application/vnd.containerd.container.criu.checkpoint.criu.tar","digest":"@0","size":#0}]}`
)

// FuzzReadCheckpoint: a checkpoint is read as what its parts say, each of which is
// in the store with its size, or refused with an error of a class. The second
// reading is a plain one of the same texts.
func FuzzReadCheckpoint(f *testing.F) {
	add := func(index, manifest string) { f.Add(seedBase, seedConfig, seedContainer, manifest, index, true) }
	add(seedIndex, seedManifest)
	f.Add(seedBase, seedConfig, seedContainer, seedManifest, seedIndex, false)
	add(seedFlat, seedManifest)
	add(seedIndex, strings.Replace(seedManifest, `"files"`, `"processes"`, 1))
	add(seedIndex, strings.Replace(seedManifest, `#0`, `7`, 1))
	add(seedIndex, strings.Replace(seedManifest, `"@0"`, `"sha256:00"`, 1))
	add(seedIndex, strings.Replace(seedManifest, `"@2"`, `""`, 1))
	add(strings.Replace(seedIndex, `"@4"`, `"@5"`, 1), seedManifest)
	add(`{"artifactType":"application/vnd.baleen.checkpoint.v1","manifests":null}`, seedManifest)
	add(`{"artifactType":"application/vnd.baleen.checkpoint.v1","manifests":[{}]}`, seedManifest)
	add(`[]`, `{`)
	f.Add(`{"layers":[{},{},{}]}`, seedConfig, `null`, seedManifest, seedIndex, true)
	f.Add(seedBase, `{"rootfs":{"diff_ids":[""]}}`, `{"config":{}}`, seedManifest, seedIndex, true)
	f.Add(seedBase, seedConfig, `{"created":5,"volumes":[null]}`, seedManifest, seedIndex, true)
	f.Fuzz(func(t *testing.T, base, config, container, manifest, index string, whole bool) {
		texts := checkpointTexts{"a layer", base, config, container, manifest, index}
		for _, text := range texts {
			if len(text) > 16<<10 {
				return
			}
		}
		store, refer := texts.store()
		target := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.Digest(refer.Replace("@5")), Size: int64(len(texts[5]))}
		if !whole {
			target = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(refer.Replace("@4")), Size: int64(len(texts[4]))}
		}
		c, err := checkpoint.Read(t.Context(), store, target)
		if err != nil {
			blobtest.CheckClass(t, err)
			return
		}
		checkParts(t, c, store)
		r, err := c.ReadContainer(t.Context(), store)
		if err != nil {
			blobtest.CheckClass(t, err)
			return
		}
		if again, err := json.Marshal(r); err != nil {
			t.Errorf("what was read cannot be written: %v (%s)", err, again)
		}
	})
}

func checkParts(t *testing.T, c *checkpoint.Checkpoint, store *blobtest.Store) {
	t.Helper()
	parts := []*ocispec.Descriptor{c.Config, c.Base, c.BaseConfig, c.Container, c.Spec, c.RuntimeOptions, c.Process, c.ProcessOptions}
	for i := range c.Layers {
		parts = append(parts, &c.Layers[i])
	}
	for _, p := range parts {
		if p == nil {
			continue
		}
		if text, ok := store.All[p.Digest]; !ok || p != c.Config && int64(len(text)) != p.Size {
			t.Errorf("part %+v is not in the store", *p)
		}
	}
	if len(c.Own) > len(c.Layers) {
		t.Fatalf("of %d layers %d are the container's own", len(c.Layers), len(c.Own))
	}
	for i, own := range c.Own {
		if layer := c.Layers[len(c.Layers)-len(c.Own)+i]; own.Blob.Digest != layer.Digest {
			t.Errorf("layer %d of the container is %+v, which is not layer %+v", i, own, layer)
		}
	}
	if c.Config == nil {
		return // containerd's
	}
	var config struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(store.All[c.Config.Digest], &config); err != nil || len(config.RootFS.DiffIDs) != len(c.Layers) {
		t.Fatalf("%d layers have %d diffIDs, %v", len(c.Layers), len(config.RootFS.DiffIDs), err)
	}
	for i, own := range c.Own {
		if id := config.RootFS.DiffIDs[len(c.Layers)-len(c.Own)+i]; own.DiffID != id {
			t.Errorf("layer %d of the container has diffID %s, want %s", i, own.DiffID, id)
		}
	}
}
