package baseimage

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Generated describes an image of any number and size of files. The same
// description gives the same layer, byte for byte.
type Generated struct {
	// Name to tag it with.
	Name string
	// Base is a base image (see [Names]) whose files come first, so that
	// containers can run. If empty there are only generated files.
	Base string
	// Files is how many there are, below /data, 100 to a folder.
	Files int
	// Bytes is how large they are altogether. Sizes vary between nothing and
	// twice the average, and the contents compress to about half.
	Bytes int64
	// Seed tells images of the same shape apart.
	Seed uint64
	// Layers is over how many the files are spread, each packed with gzip. 0 is
	// one layer that is not packed: `docker load` is then limited by the disk
	// alone.
	Layers int
}

// WriteArchive writes the image in the form that `docker load` and `podman load` read.
// The base image is made in bin (see [Image.Tar]).
func (image Generated) WriteArchive(ctx context.Context, bin string, to io.Writer) error {
	if err := image.writeArchive(ctx, bin, to); err != nil {
		return fmt.Errorf("write archive of image %s: %w", image.Name, err)
	}
	return nil
}

// Check returns an error of the class invalid argument if there is no such base image.
func (image Generated) Check() error {
	_, err := image.base()
	return err
}

// base is the zero Image if there is none.
func (image Generated) base() (Image, error) {
	if image.Base == "" {
		return Image{}, nil
	}
	return Find(image.Base)
}

// writeArchive makes each layer twice: a file in a tar stream follows its size,
// and keeping hundreds of megabytes somewhere takes longer than making them.
func (image Generated) writeArchive(ctx context.Context, bin string, to io.Writer) error {
	base, err := image.base()
	if err != nil {
		return err
	}
	parts := image.parts()
	var names []string
	var sizes []int64
	var diffIDs []digest.Digest
	for i := range parts {
		sum, stored := &measure{hash: sha256.New()}, &measure{hash: sha256.New()}
		if err := parts[i].writeTo(ctx, base.rootfs, bin, stored, sum); err != nil {
			return err
		}
		diffIDs, sizes = append(diffIDs, digest.NewDigest(digest.SHA256, sum.hash)), append(sizes, stored.size)
		// Loads at the same time must not ingest under the same name.
		names = append(names, diffIDs[i].Encoded()+"/layer.tar")
	}
	config, err := imageConfig(base.Command, diffIDs)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]archiveManifest{{
		Config: digest.FromBytes(config).Encoded() + ".json", RepoTags: []string{image.tag()}, Layers: names,
	}})
	if err != nil {
		return err
	}
	t := &tree{out: tar.NewWriter(to)}
	t.file("manifest.json", 0o644, manifest)
	t.file(digest.FromBytes(config).Encoded()+".json", 0o644, config)
	for i := range parts {
		t.write(&tar.Header{Typeflag: tar.TypeReg, Name: names[i], Mode: 0o644, Size: sizes[i]}, nil)
		if t.err == nil {
			t.err = parts[i].writeTo(ctx, base.rootfs, bin, t.out, io.Discard)
		}
	}
	return errors.Join(t.err, t.out.Close())
}

// part is a layer of an image.
type part struct {
	Generated     // as if its files were all
	first     int // number of the first of them
	based     bool
	packed    bool
}

func (image Generated) parts() []part {
	if image.Layers == 0 {
		return []part{{Generated: image, based: true}}
	}
	var parts []part
	for i := range image.Layers {
		p := part{Generated: image, first: image.Files * i / image.Layers, based: i == 0, packed: true}
		p.Files = image.Files*(i+1)/image.Layers - p.first
		p.Bytes = image.Bytes*int64(i+1)/int64(image.Layers) - image.Bytes*int64(i)/int64(image.Layers)
		p.Seed = image.Seed + uint64(i)<<32
		parts = append(parts, p)
	}
	return parts
}

// writeTo writes the layer as it is stored to one, and as it is unpacked to the
// other.
func (p part) writeTo(ctx context.Context, base rootfs, bin string, stored, plain io.Writer) error {
	if !p.based {
		base = rootfs{}
	}
	if !p.packed {
		return p.writeLayer(ctx, base, bin, io.MultiWriter(stored, plain))
	}
	packer, err := gzip.NewWriterLevel(stored, gzip.BestSpeed)
	if err != nil {
		return err
	}
	return errors.Join(p.writeLayer(ctx, base, bin, io.MultiWriter(packer, plain)), packer.Close())
}

// archiveManifest is an element of manifest.json in an archive of images.
type archiveManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (image Generated) tag() string {
	if strings.Contains(image.Name, ":") {
		return image.Name
	}
	return image.Name + ":latest"
}

// imageConfig returns the configuration in JSON; cmd is in JSON, too, or empty.
func imageConfig(cmd string, diffIDs []digest.Digest) ([]byte, error) {
	created := imageTime
	config := ocispec.Image{
		Created:  &created,
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   ocispec.ImageConfig{Env: []string{Path}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: diffIDs},
		History:  slices.Repeat([]ocispec.History{{Created: &created, Comment: "generated"}}, len(diffIDs)),
	}
	if cmd != "" {
		if err := json.Unmarshal([]byte(cmd), &config.Config.Cmd); err != nil {
			return nil, fmt.Errorf("read CMD %s: %w", cmd, err)
		}
	}
	return json.Marshal(config)
}

// measure takes the size and the hash of what is written to it.
type measure struct {
	hash hash.Hash
	size int64
}

func (m *measure) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	return m.hash.Write(p)
}

func (p part) writeLayer(ctx context.Context, base rootfs, bin string, to io.Writer) error {
	out := bufio.NewWriterSize(to, 1<<20)
	t := &tree{out: tar.NewWriter(out)}
	if base.build != nil {
		path, err := base.tar(ctx, bin)
		if err != nil {
			return err
		}
		if err := copyTar(t.out, path); err != nil {
			return fmt.Errorf("copy %s: %w", path, err)
		}
	}
	p.fill(t)
	return errors.Join(t.err, t.out.Close(), out.Flush())
}

func copyTar(to *tar.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	from := tar.NewReader(file)
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := to.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
	}
}

func (p part) fill(t *tree) {
	random := rand.New(rand.NewPCG(p.Seed, uint64(p.Files)))
	rest := p.Bytes
	t.dir("data", 0o755)
	for i := p.first; i < p.first+p.Files; i++ {
		if i%100 == 0 || i == p.first {
			t.dir(fmt.Sprintf("data/%04d", i/100), 0o755)
		}
		// On average the same share of what remains, and all of it in the end.
		size := rest
		if left := int64(p.first + p.Files - i); left > 1 {
			size = min(rest, random.Int64N(2*(rest/left)+1))
		}
		rest -= size
		t.write(&tar.Header{
			Typeflag: tar.TypeReg, Mode: 0o644, Size: size,
			Name: fmt.Sprintf("data/%04d/%06d", i/100, i),
		}, io.LimitReader(&text{random: random}, size))
	}
}

// text is an endless stream of random hexadecimal digits: like most of what is
// in images it can be compressed, by half.
type text struct{ random *rand.Rand }

func (t *text) Read(p []byte) (int, error) {
	var bits [8]byte
	var digits [16]byte
	for n := 0; n < len(p); {
		binary.LittleEndian.PutUint64(bits[:], t.random.Uint64())
		hex.Encode(digits[:], bits[:])
		n += copy(p[n:], digits[:])
	}
	return len(p), nil
}
