package lifecycle

import (
	"context"

	"github.com/containerd/log"

	"github.com/baleen-project/baleen/imageservice"
)

// Start has the daemon load its containers, and calls mend after that. It does neither if
// bad, what is wrong with the configuration, is not nil, and returns it. For nil
// Operations it logs that Baleen does nothing, and mends nothing.
func (o *Operations) Start(ctx context.Context, bad error, load func() error, mend func(context.Context)) error {
	if bad != nil {
		return bad
	}
	if o == nil {
		log.G(ctx).Warn(imageservice.OffWarning)
		return load()
	}
	if err := load(); err != nil {
		return err
	}
	mend(ctx)
	return nil
}
