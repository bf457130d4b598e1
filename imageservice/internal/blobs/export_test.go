package blobs

import "github.com/opencontainers/go-digest"

// File is a blob in a folder of blobs.
type File struct{ f *file }

// NewFile makes a file in a folder.
func NewFile(folder string) (File, error) {
	f, err := newFile(folder)
	return File{f}, err
}

func (f File) Write(p []byte) (int, error)   { return f.f.Write(p) }
func (f File) Finish(size int64) error       { return f.f.finish(size) }
func (f File) Name(dgst digest.Digest) error { return f.f.name(dgst) }
func (f File) HasName() bool                 { return f.f.hasName() }
func (f File) Close()                        { f.f.close() }
