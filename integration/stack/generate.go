package stack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/containerd/errdefs"
)

// GeneratedImage describes an image of any number and size of files. The same
// description gives the same layer, byte for byte.
type GeneratedImage struct {
	// Name to tag it with.
	Name string
	// Base is a base image (see BaseImages) whose files come first, so that
	// containers can run. If empty there are only generated files.
	Base string
	// Files is how many there are, below /data, 100 to a folder.
	Files int
	// Bytes is how large they are altogether. Sizes vary between nothing and
	// twice the average, and the contents compress to about half.
	Bytes int64
	// Seed tells images of the same shape apart.
	Seed uint64
}

// GenerateImage makes the image and puts it into dockerd, as one layer.
func (s *Stack) GenerateImage(ctx context.Context, image GeneratedImage) error {
	base, ok := baseImages[image.Base]
	if !ok && image.Base != "" {
		return errdefs.ErrInvalidArgument.WithMessage(image.Base + " is none of the base images")
	}
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(image.write(ctx, base.rootfs, s.bin, writer)) }()
	defer reader.Close() // or else the writer would wait for ever after an error

	args := []string{"import", "--change", "ENV " + imagePath}
	if ok {
		args = append(args, "--change", "CMD "+base.cmd)
	}
	cmd := s.Docker(ctx, append(args, "-", image.Name)...)
	cmd.Stdin = reader
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("generate image %s: docker import: %w: %s", image.Name, err, out)
	}
	return nil
}

func (image GeneratedImage) write(ctx context.Context, base rootfs, bin string, to io.Writer) error {
	t := &tree{out: tar.NewWriter(to)}
	if base.build != nil {
		path, err := base.tar(ctx, bin)
		if err != nil {
			return err
		}
		if err := copyTar(t.out, path); err != nil {
			return fmt.Errorf("copy %s: %w", path, err)
		}
	}
	image.fill(t)
	return errors.Join(t.err, t.out.Close())
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

func (image GeneratedImage) fill(t *tree) {
	random := rand.New(rand.NewPCG(image.Seed, uint64(image.Files)))
	rest := image.Bytes
	t.dir("data", 0o755)
	for i := range image.Files {
		if i%100 == 0 {
			t.dir(fmt.Sprintf("data/%04d", i/100), 0o755)
		}
		// On average the same share of what remains, and all of it in the end.
		size := rest
		if left := int64(image.Files - i); left > 1 {
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
	const digits = "0123456789abcdef"
	for i := 0; i < len(p); {
		for bits := t.random.Uint64(); bits != 0 && i < len(p); bits >>= 4 {
			p[i] = digits[bits&15]
			i++
		}
	}
	return len(p), nil
}
