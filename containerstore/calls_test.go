package containerstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
)

var errInjected = errors.New("injected")

// calls counts the calls to containerd, and has one of them, or it and all later ones,
// fail: before containerd has seen it, or after.
type calls struct {
	at      int  // which one fails; 0 for none
	done    bool // the failing one has its effect first
	onwards bool // all later ones fail too, as if the program had ended
	n       int
	where   string         // the one that failed
	by      map[string]int // how many there were, by name
}

func (c *calls) do(name string, f func() error) error {
	c.n++
	if c.by == nil {
		c.by = map[string]int{}
	}
	c.by[name]++
	switch {
	case c.at == 0 || c.n < c.at || c.n > c.at && !c.onwards:
		return f()
	case c.n == c.at:
		c.where = name
		if c.done {
			if err := f(); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%s: %w", name, errInjected)
}

// through has a history make its calls through c.
func (b *box) through(c *calls) *box {
	h := *b.History
	h.Snapshots = countedSnapshots{b.w.snapshots, c}
	h.Content = countedContent{b.w.content, c}
	h.Leases = countedLeases{b.w.leases, c}
	h.Tasks = countedTasks{c}
	return &box{History: &h, w: b.w, ctx: b.ctx}
}

type countedSnapshots struct {
	snapshots.Snapshotter
	c *calls
}

func (s countedSnapshots) Stat(ctx context.Context, key string) (i snapshots.Info, err error) {
	err = s.c.do("stat", func() error { i, err = s.Snapshotter.Stat(ctx, key); return err })
	return i, err
}

func (s countedSnapshots) Update(ctx context.Context, i snapshots.Info, paths ...string) (out snapshots.Info, err error) {
	err = s.c.do("update", func() error { out, err = s.Snapshotter.Update(ctx, i, paths...); return err })
	return out, err
}

func (s countedSnapshots) Usage(ctx context.Context, key string) (u snapshots.Usage, err error) {
	err = s.c.do("usage", func() error { u, err = s.Snapshotter.Usage(ctx, key); return err })
	return u, err
}

func (s countedSnapshots) Mounts(ctx context.Context, key string) (m []mount.Mount, err error) {
	err = s.c.do("mounts", func() error { m, err = s.Snapshotter.Mounts(ctx, key); return err })
	return m, err
}

func (s countedSnapshots) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) (m []mount.Mount, err error) {
	err = s.c.do("prepare", func() error { m, err = s.Snapshotter.Prepare(ctx, key, parent, opts...); return err })
	return m, err
}

func (s countedSnapshots) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) (m []mount.Mount, err error) {
	err = s.c.do("view", func() error { m, err = s.Snapshotter.View(ctx, key, parent, opts...); return err })
	return m, err
}

func (s countedSnapshots) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.c.do("commit", func() error { return s.Snapshotter.Commit(ctx, name, key, opts...) })
}

func (s countedSnapshots) Remove(ctx context.Context, key string) error {
	return s.c.do("remove", func() error { return s.Snapshotter.Remove(ctx, key) })
}

func (s countedSnapshots) Walk(ctx context.Context, f snapshots.WalkFunc, filters ...string) error {
	return s.c.do("walk", func() error { return s.Snapshotter.Walk(ctx, f, filters...) })
}

type countedContent struct {
	content.Store
	c *calls
}

func (s countedContent) Info(ctx context.Context, dgst digest.Digest) (i content.Info, err error) {
	err = s.c.do("info", func() error { i, err = s.Store.Info(ctx, dgst); return err })
	return i, err
}

func (s countedContent) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (r content.ReaderAt, err error) {
	err = s.c.do("read", func() error { r, err = s.Store.ReaderAt(ctx, desc); return err })
	return r, err
}

func (s countedContent) Abort(ctx context.Context, ref string) error {
	return s.c.do("abort", func() error { return s.Store.Abort(ctx, ref) })
}

func (s countedContent) Writer(ctx context.Context, opts ...content.WriterOpt) (w content.Writer, err error) {
	err = s.c.do("writer", func() error { w, err = s.Store.Writer(ctx, opts...); return err })
	if err != nil {
		if w != nil { // containerd's is ended with the connection
			_ = w.Close()
		}
		return nil, err
	}
	return countedWriter{w, s.c}, nil
}

type countedWriter struct {
	content.Writer
	c *calls
}

func (w countedWriter) Write(p []byte) (n int, err error) {
	err = w.c.do("write", func() error { n, err = w.Writer.Write(p); return err })
	return n, err
}

func (w countedWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	return w.c.do("commit blob", func() error { return w.Writer.Commit(ctx, size, expected, opts...) })
}

type countedLeases struct {
	leases.Manager
	c *calls
}

func (m countedLeases) Create(ctx context.Context, opts ...leases.Opt) (l leases.Lease, err error) {
	err = m.c.do("create lease", func() error { l, err = m.Manager.Create(ctx, opts...); return err })
	return l, err
}

func (m countedLeases) Delete(ctx context.Context, l leases.Lease, opts ...leases.DeleteOpt) error {
	return m.c.do("delete lease", func() error { return m.Manager.Delete(ctx, l, opts...) })
}

func (m countedLeases) AddResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	return m.c.do("hold", func() error { return m.Manager.AddResource(ctx, l, r) })
}

func (m countedLeases) DeleteResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	return m.c.do("release", func() error { return m.Manager.DeleteResource(ctx, l, r) })
}

// noTasks is a containerd in which no process runs.
type noTasks struct{}

func (noTasks) Get(context.Context, *tasks.GetRequest, ...grpc.CallOption) (*tasks.GetResponse, error) {
	return nil, errgrpc.ToGRPC(errdefs.ErrNotFound)
}

type countedTasks struct{ c *calls }

func (s countedTasks) Get(ctx context.Context, r *tasks.GetRequest, opts ...grpc.CallOption) (*tasks.GetResponse, error) {
	err := s.c.do("task", func() error { return nil })
	if err != nil {
		return nil, err
	}
	return noTasks{}.Get(ctx, r, opts...)
}
