package unfinished

import (
	"context"
	"time"

	"github.com/baleen-project/baleen/compat/moby"
)

// SetSleep replaces time.Sleep between the tries of a removal.
func (r *Cleaner) SetSleep(sleep func(time.Duration)) { r.sleep = sleep }

// RemoveLater is what [Cleaner.TakeBack] does in the background.
func (r *Cleaner) RemoveLater(ctx context.Context, c *moby.Container) { r.removeLater(ctx, c) }
