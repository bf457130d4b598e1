package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	docker "github.com/docker/docker/client"

	"github.com/baleen-project/baleen/compat/api"
)

// Docker is the part of Docker's client that the calls go over.
type Docker interface {
	Ping(ctx context.Context) (types.Ping, error)
	NegotiateAPIVersionPing(types.Ping)
	ClientVersion() string
	DaemonHost() string
	HTTPClient() *http.Client
}

// Options are what Docker's client has and does not tell.
type Options struct {
	// TLS says that the daemon is asked over TLS.
	TLS bool
	// Header goes with every request.
	Header http.Header
}

// Client asks one daemon.
type Client struct {
	docker  Docker
	options Options
}

// New returns a client that goes over the connection of Docker's.
func New(d Docker, o Options) *Client {
	return &Client{docker: d, options: o}
}

// Snapshot keeps the container's present state as a revision.
func (c *Client) Snapshot(ctx context.Context, container string, r api.SnapshotRequest) (api.Revision, error) {
	var revision api.Revision
	err := c.call(ctx, http.MethodPost, container, "snapshot", r, &revision)
	return revision, err
}

// Revisions lists the container's revisions, in the daemon's order.
func (c *Client) Revisions(ctx context.Context, container string) ([]api.Revision, error) {
	var revisions []api.Revision
	err := c.call(ctx, http.MethodGet, container, "revisions", nil, &revisions)
	return revisions, err
}

// Prune removes revisions that the container does not stand on.
func (c *Client) Prune(ctx context.Context, container string, r api.PruneRequest) (api.PruneReport, error) {
	var report api.PruneReport
	err := c.call(ctx, http.MethodPost, container, "revisions/prune", r, &report)
	return report, err
}

// Upgrade moves the container to another image. Each message of the daemon goes
// to report as it arrives. The result is that of the last message; of a dry run
// there may be none. A container that did not come up on the new image is no
// error here: the result says that it is back.
func (c *Client) Upgrade(ctx context.Context, container string, r api.UpgradeRequest, report func(api.Progress)) (api.Result, error) {
	return c.move(ctx, container, "upgrade", r, r.DryRun, report)
}

// Rollback moves the container to one of its revisions, and is like Upgrade
// otherwise.
func (c *Client) Rollback(ctx context.Context, container string, r api.RollbackRequest, report func(api.Progress)) (api.Result, error) {
	return c.move(ctx, container, "rollback", r, r.DryRun, report)
}

// Checkpoint keeps the container's whole state as an image. Each message of the
// daemon goes to report as it arrives.
func (c *Client) Checkpoint(ctx context.Context, container string, r api.CheckpointRequest, report func(api.Progress)) (api.Checkpoint, error) {
	end, err := c.stream(ctx, onContainer(container, "checkpoint"), r, report)
	if err == nil && end.Checkpoint == nil {
		err = c.noResult(onContainer(container, "checkpoint"), io.ErrUnexpectedEOF)
	}
	if err != nil {
		return api.Checkpoint{}, err
	}
	return *end.Checkpoint, nil
}

// Restore makes a container of a checkpoint, and is like Checkpoint otherwise.
func (c *Client) Restore(ctx context.Context, r api.RestoreRequest, report func(api.Progress)) (api.Restored, error) {
	to := route{path: "checkpoints/restore", what: "restore of " + r.Ref}
	end, err := c.stream(ctx, to, r, report)
	if err == nil && end.Restored == nil {
		err = c.noResult(to, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return api.Restored{}, err
	}
	return *end.Restored, nil
}

// route is where a request goes.
type route struct {
	path string // behind the version
	what string // for a person: what the request is
	err  error  // there is none
}

// onContainer is the route of a verb on a container.
func onContainer(container, verb string) route {
	name := strings.TrimPrefix(container, "/")
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/ \t\n") {
		return route{err: errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid container name or ID: %q", container))}
	}
	return route{path: path.Join("containers", name, verb), what: verb + " of container " + container}
}

// CheckpointAbility asks whether the daemon can keep processes.
func (c *Client) CheckpointAbility(ctx context.Context) (api.CheckpointAbility, error) {
	var ability api.CheckpointAbility
	err := c.callTo(ctx, http.MethodGet, route{path: "checkpoints/check", what: "check"}, nil, &ability)
	return ability, err
}

// ContainerCheckpointAbility asks whether the daemon can keep the processes of a container.
func (c *Client) ContainerCheckpointAbility(ctx context.Context, container string) (api.CheckpointAbility, error) {
	var ability api.CheckpointAbility
	err := c.call(ctx, http.MethodGet, container, "checkpoint/check", nil, &ability)
	return ability, err
}

// Check looks for what is wrong with what the daemon has in containerd.
func (c *Client) Check(ctx context.Context, r api.CheckRequest) (api.CheckReport, error) {
	var report api.CheckReport
	err := c.callTo(ctx, http.MethodPost, route{path: "baleen/check", what: "check of the daemon"}, r, &report)
	return report, err
}

// DiskUsage asks what revisions take on disk.
func (c *Client) DiskUsage(ctx context.Context) (api.DiskUsage, error) {
	var usage api.DiskUsage
	err := c.callTo(ctx, http.MethodGet, route{path: "baleen/df", what: "disk usage of the daemon"}, nil, &usage)
	return usage, err
}

// call sends a request about a container and decodes the one answer.
func (c *Client) call(ctx context.Context, method, container, verb string, body, into any) error {
	return c.callTo(ctx, method, onContainer(container, verb), body, into)
}

func (c *Client) callTo(ctx context.Context, method string, to route, body, into any) error {
	resp, err := c.send(ctx, method, to, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := decode(resp.Body, into); err != nil {
		return fmt.Errorf("read the answer of the daemon at %s to %s: %w", c.docker.DaemonHost(), to.what, err)
	}
	return nil
}

// send returns the response to a request if its status is a success.
func (c *Client) send(ctx context.Context, method string, to route, body any) (*http.Response, error) {
	if to.err != nil {
		return nil, to.err
	}
	// The ping fails in Docker's own words if there is no daemon.
	ping, err := c.docker.Ping(ctx)
	if err != nil {
		return nil, err
	}
	c.docker.NegotiateAPIVersionPing(ping)
	req, err := c.request(ctx, method, to.path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.docker.HTTPClient().Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", to.what, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

func (c *Client) request(ctx context.Context, method, route string, body any) (*http.Request, error) {
	u, err := c.url(route)
	if err != nil {
		return nil, err
	}
	var text io.Reader
	if body != nil {
		if text, err = encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), text)
	if err != nil {
		return nil, err
	}
	for name, values := range c.options.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// url is that of a route. Sockets have no host name; Docker's transport does
// not look at the one that stands in for it.
func (c *Client) url(route string) (*url.URL, error) {
	host, err := docker.ParseHostURL(c.docker.DaemonHost())
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "http", Host: host.Host}
	if c.options.TLS {
		u.Scheme = "https"
	}
	if host.Scheme == "unix" || host.Scheme == "npipe" {
		u.Host = docker.DummyHost
	}
	u.Path = path.Join("/", host.Path, c.version(), route)
	return u, nil
}

// version is the first part of a route's path, "" for a daemon's newest.
func (c *Client) version() string {
	if v := strings.TrimPrefix(c.docker.ClientVersion(), "v"); v != "" {
		return "v" + v
	}
	return ""
}
