package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/bounded"
)

// move sends an upgrade or rollback and follows it to its end.
func (c *Client) move(ctx context.Context, container, verb string, body any, dryRun bool, report func(api.Progress)) (api.Result, error) {
	to := onContainer(container, verb)
	end, err := c.stream(ctx, to, body, report)
	switch {
	case err != nil:
		return api.Result{}, err
	case end.Result != nil:
		return *end.Result, nil
	case dryRun && end.Plan != nil:
		return api.Result{}, nil
	}
	return api.Result{}, c.noResult(to, io.ErrUnexpectedEOF)
}

// stream sends a request and follows the answer to its end, which is returned.
func (c *Client) stream(ctx context.Context, to route, body any, report func(api.Progress)) (api.Progress, error) {
	resp, err := c.send(ctx, http.MethodPost, to, body)
	if err != nil {
		return api.Progress{}, err
	}
	defer resp.Body.Close()
	end, err := follow(resp.Body, report)
	switch {
	case err != nil && ctx.Err() != nil:
		return api.Progress{}, ctx.Err()
	case err != nil:
		return api.Progress{}, c.noResult(to, err)
	case end.Error != "":
		return api.Progress{}, refused{message: end.Error, class: errdefs.ErrUnknown}
	}
	return end, nil
}

// noResult is the error of a stream that ended too early.
func (c *Client) noResult(to route, err error) error {
	return fmt.Errorf("the daemon at %s ended the %s without a result: %w", c.docker.DaemonHost(), to.what, err)
}

// follow reads messages up to the last, one with an error or a result, or the
// stream's end, and returns the last, with the plan if there was one.
func follow(r io.Reader, report func(api.Progress)) (api.Progress, error) {
	var last api.Progress
	for dec := bounded.Answer.NewDecoder(r); ; {
		var next api.Progress
		err := dec.Decode(&next)
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		if report != nil {
			report(next)
		}
		if next.Plan == nil {
			next.Plan = last.Plan
		}
		if last = next; last.Last() {
			return last, nil
		}
	}
}
