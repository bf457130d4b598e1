package imageservice

import "context"

type thawKey struct{}

// WithThaw returns a context for committing a paused container: the commit
// calls thaw as soon as it has all that it needs of the container, so that the
// pause does not last until the image is made. The caller thaws as well, when
// the commit returns: thaw may be called twice, and must work once.
func WithThaw(ctx context.Context, thaw func()) context.Context {
	return context.WithValue(ctx, thawKey{}, thaw)
}

// thaw lets the container go on, if the caller left that to the commit.
func thaw(ctx context.Context) {
	if f, ok := ctx.Value(thawKey{}).(func()); ok {
		f()
	}
}
