package check

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat/api"
)

// unknown looks for files in containerd's folder of blobs that it has no record of.
func (k *checker) unknown(ctx context.Context) error {
	found, err := k.Service.UnknownBlobs(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	done, err := k.makersEnded(ctx) // one of these may be about to have them recorded
	if err != nil || !done {
		return err
	}
	// A collection removes records first, and then the files.
	gone, err := again(ctx, func() (bool, error) {
		now, err := k.Service.UnknownBlobs(ctx)
		maps.DeleteFunc(found, func(d digest.Digest, _ int64) bool { _, still := now[d]; return !still })
		return len(found) == 0, err
	})
	if err != nil || gone {
		return err
	}
	var bytes int64
	for _, size := range found {
		bytes += size
	}
	first := slices.Min(slices.Collect(maps.Keys(found)))
	k.found(ctx, api.Finding{
		Kind: api.FindingBlobUnknown, Object: first.String(),
		Text: fmt.Sprintf("containerd's folder of blobs has %d files of %d bytes that containerd has no record of; this is the first", len(found), bytes),
		Help: "containerd removes them when it next removes another blob; docker baleen check --repair has it do so now",
	}, func(ctx context.Context) error {
		if err := k.mayCollect(); err != nil {
			return err
		}
		return k.Service.CollectBlobs(ctx)
	})
	return nil
}
