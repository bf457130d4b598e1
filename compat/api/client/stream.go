package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
)

// move sends an upgrade or rollback and follows it to its end.
func (c *Client) move(ctx context.Context, container, verb string, body any, dryRun bool, report func(api.Progress)) (api.Result, error) {
	resp, err := c.send(ctx, http.MethodPost, container, verb, body)
	if err != nil {
		return api.Result{}, err
	}
	defer resp.Body.Close()
	end, err := follow(resp.Body, report)
	switch {
	case err != nil && ctx.Err() != nil:
		return api.Result{}, ctx.Err()
	case err != nil:
		return api.Result{}, fmt.Errorf("the daemon at %s ended the %s of container %s without a result: %w",
			c.docker.DaemonHost(), verb, container, err)
	case end.Error != "":
		return api.Result{}, refused{message: end.Error, class: errdefs.ErrUnknown}
	case end.Result != nil:
		return *end.Result, nil
	case dryRun && end.Plan != nil:
		return api.Result{}, nil
	}
	return api.Result{}, fmt.Errorf("the daemon at %s ended the %s of container %s without a result: %w",
		c.docker.DaemonHost(), verb, container, io.ErrUnexpectedEOF)
}

// follow reads messages up to one with an error or a result, or the stream's
// end, and returns the last, with the plan if there was one.
func follow(r io.Reader, report func(api.Progress)) (api.Progress, error) {
	var last api.Progress
	for dec := json.NewDecoder(r); ; {
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
		if last = next; last.Error != "" || last.Result != nil {
			return last, nil
		}
	}
}
