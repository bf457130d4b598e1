package diff

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// emptyTar is the digest of a tar stream without entries: 1,024 zero bytes.
const emptyTar digest.Digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

// Layer is a change set as a blob.
type Layer struct {
	Blob   ocispec.Descriptor // the stored bytes: media type, digest, size
	DiffID digest.Digest      // of the tar stream before compression
}

// Empty reports whether the layer holds no change at all.
func (l Layer) Empty() bool {
	return l.DiffID == emptyTar
}

// EmptyLayer is the layer of no changes. It has no blob.
func EmptyLayer() Layer {
	return Layer{DiffID: emptyTar}
}
