package imageservice

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/diff"
	"github.com/baleen-project/baleen/diff/compress"
	"github.com/baleen-project/baleen/imageservice/commit"
)

// Options are what an operator sets, by dockerd's --storage-opt or the
// "storage-opts" of daemon.json.
type Options struct {
	// Compression of the layers that commits make: baleen.compression=KIND or
	// KIND:LEVEL, see [compress.Parse].
	Compression compress.Method
	// CopyIDs, baleen.idmap=copy, has --userns-remap make a copy of each image
	// with other owners, once, also where ids can be mapped by mounting
	// (baleen.idmap=mount, the default).
	CopyIDs bool
	// MaxLayer, baleen.max-layer-size=SIZE, is the size in bytes over which layers are
	// neither made nor unpacked, see [diff.Limit]; 0 is [diff.DefaultMaxLayer]. SIZE is
	// what [diff.ParseLimit] reads.
	MaxLayer int64
}

// limit bounds the layers that are made and unpacked.
func (o Options) limit() diff.Limit {
	return diff.Limit{Bytes: o.MaxLayer, Allow: "the daemon's storage option " + optionPrefix + "max-layer-size, such as 2TiB, says how much is allowed"}
}

// FeatureSealCommits is what an operator sets to true among the "features" of
// daemon.json, or by dockerd --feature, for `docker commit` of a stopped container
// to write no file data but the layer's blob, where large files would have to be
// copied. It counts for the next commit after a reload (SIGHUP).
//
// The container is sealed then, if it has files of 1 MiB and more of 16 MiB
// together that are not sealed yet. They become files of the image too, by further
// names, and the container goes on above them. That is not the default, for it
// costs the container:
//
//   - the first write to such a file copies it, at a worse moment than the commit;
//   - a file of several names comes apart when it is written: who has opened it by
//     another name does not see that, as with those of its image;
//   - directories that it made before cannot be renamed any more (EXDEV, for which
//     mv copies), as those of its image cannot;
//   - its large files, like the image's, tell that they have several names;
//   - what it overwrites or deletes stays on disk until 16 layers are merged, or it
//     is removed;
//   - stock dockerd, after a way back, takes what is above the seal for all that it
//     ever wrote, in commits and `docker diff`.
//
// Copied are smaller files, as they were, for some programs mind the names of those
// (cron, logrotate, mail spools) and to copy them costs hardly more than to link
// them; files with attributes that a layer does not carry, since the image must not
// have them; those of a container that a quota limits, or whose ids are mapped
// otherwise than the image's; all of a container that runs, or that another commit,
// diff, copy or export reads. Where the file system shares data by itself (XFS with
// reflink, btrfs), or snapshots are no overlays, nothing changes.
const FeatureSealCommits = "baleen-seal-commits"

// OffWarning is for the log of a daemon that starts on a graph driver, where Baleen
// has no part in images.
const OffWarning = `Baleen's image service is not in use: images and containers are a graph driver's, and Baleen needs the containerd image store. ` +
	`To move, make images of the containers to keep (docker commit) and an archive of the images (docker save), ` +
	`set "features": {"containerd-snapshotter": true} and no "storage-driver" in daemon.json, restart the daemon, and load the archive (docker load). ` +
	`What the graph driver has stays where it is, hidden until that feature is off again.`

// NoWayBackWarning is for the log of a daemon that maps ids where stock Moby does not.
const NoWayBackWarning = `userns-remap is on together with the containerd image store. ` +
	`Stock Moby of this version refuses that, or turns the store off and finds neither these images nor these containers. ` +
	`Before you go back to stock Moby, make images of the containers to keep (docker commit) and an archive of the images (docker save), ` +
	`then turn the feature "containerd-snapshotter" off in daemon.json, start stock Moby, and load the archive (docker load).`

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
			o.Compression, err = compress.Parse(value)
		case optionPrefix + "idmap":
			if value != "mount" && value != "copy" {
				err = fmt.Errorf("it is mount or copy: %w", errdefs.ErrInvalidArgument)
			}
			o.CopyIDs = value == "copy"
		case optionPrefix + "max-layer-size":
			o.MaxLayer, err = diff.ParseLimit(value)
		default:
			err = fmt.Errorf("there are only %[1]scompression, %[1]sidmap and %[1]smax-layer-size: %[2]w", optionPrefix, errdefs.ErrInvalidArgument)
		}
		if err != nil {
			return Options{}, compat.DockerError(fmt.Errorf("storage option %s: %w", opt, err))
		}
	}
	return o, nil
}

// WithCommitQuery returns a context for a single commit as the query of its
// request asks: compression=KIND[:LEVEL] packs its layer otherwise than the
// daemon's option says. It refuses a name for the image before anything is made;
// one that is no name at all is left to Moby.
func WithCommitQuery(ctx context.Context, query url.Values) (context.Context, error) {
	if ref, err := reference.ParseNormalizedNamed(query.Get("repo")); err == nil {
		if err := compat.CheckName(ref); err != nil {
			return nil, compat.DockerError(err)
		}
	}
	text := query.Get("compression")
	if text == "" {
		return ctx, nil
	}
	c, err := compress.Parse(text)
	if err != nil {
		return nil, compat.DockerError(err)
	}
	return commit.WithCompression(ctx, c), nil
}
