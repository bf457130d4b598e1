package imageservice

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/diff"
)

// Options are what an operator sets, by dockerd's --storage-opt or the
// "storage-opts" of daemon.json.
type Options struct {
	// Compression of the layers that commits make: baleen.compression=KIND or
	// KIND:LEVEL, see [diff.ParseCompression].
	Compression diff.Compression
	// CopyIDs, baleen.idmap=copy, has --userns-remap make a copy of each image
	// with other owners, once, also where ids can be mapped by mounting
	// (baleen.idmap=mount, the default).
	CopyIDs bool
}

// optionPrefix tells our storage options from those of graph drivers, which a
// daemon with the containerd store leaves alone.
const optionPrefix = "baleen."

// ParseOptions reads dockerd's storage options. One that begins with "baleen."
// and is not known is an error.
func ParseOptions(storageOpts []string) (Options, error) {
	var o Options
	for _, opt := range storageOpts {
		key, value, _ := strings.Cut(opt, "=")
		if !strings.HasPrefix(strings.ToLower(key), optionPrefix) {
			continue
		}
		var err error
		switch strings.ToLower(key) {
		case optionPrefix + "compression":
			o.Compression, err = diff.ParseCompression(value)
		case optionPrefix + "idmap":
			if value != "mount" && value != "copy" {
				err = fmt.Errorf("it is mount or copy: %w", errdefs.ErrInvalidArgument)
			}
			o.CopyIDs = value == "copy"
		default:
			err = fmt.Errorf("there are only %[1]scompression and %[1]sidmap: %[2]w", optionPrefix, errdefs.ErrInvalidArgument)
		}
		if err != nil {
			return Options{}, compat.DockerError(fmt.Errorf("storage option %s: %w", opt, err))
		}
	}
	return o, nil
}

type compressionKey struct{}

// WithCommitQuery returns a context for a single commit as the query of its
// request asks: compression=KIND[:LEVEL] packs its layer otherwise than the
// daemon's option says.
func WithCommitQuery(ctx context.Context, query url.Values) (context.Context, error) {
	text := query.Get("compression")
	if text == "" {
		return ctx, nil
	}
	c, err := diff.ParseCompression(text)
	if err != nil {
		return nil, compat.DockerError(err)
	}
	return context.WithValue(ctx, compressionKey{}, c), nil
}

// compression is how a commit's layer is packed.
func (s *Service) compression(ctx context.Context) diff.Compression {
	if c, ok := ctx.Value(compressionKey{}).(diff.Compression); ok {
		return c
	}
	return s.options.Compression
}
