package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/opencontainers/image-spec/identity"

	"github.com/baleen-project/baleen/compat/api"
)

// Move sends a request for an upgrade or rollback and returns the messages. If
// they end in an error that is returned, and so is an answer without messages.
func (e *Env) Move(ctx context.Context, path string, request any) ([]api.Progress, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	resp, err := e.Open(ctx, http.MethodPost, path, string(text))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(resp.Body)
		return nil, errors.Join(fmt.Errorf("%s %s: %d %s", path, text, resp.StatusCode, answer), err)
	}
	return ReadMessages(resp.Body)
}

// ReadMessages decodes a stream of messages and checks that just the last one is an end:
// an error, which is returned, or a result.
func ReadMessages(body io.Reader) ([]api.Progress, error) {
	var list []api.Progress
	for dec := json.NewDecoder(body); ; {
		var p api.Progress
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return list, err
		}
		list = append(list, p)
	}
	if len(list) == 0 {
		return nil, errors.New("a stream without messages")
	}
	for i, p := range list {
		if end := p.Error != "" || p.Result != nil; end != (i == len(list)-1) {
			return list, fmt.Errorf("message %d of %d: %+v", i, len(list), p)
		}
	}
	if last := list[len(list)-1]; last.Error != "" {
		return list, errors.New(last.Error)
	}
	return list, nil
}

// MustMove is Move, which must succeed, and returns the plan and the result.
func (e *Env) MustMove(t *testing.T, path string, request any) (api.Plan, api.Result) {
	t.Helper()
	list, err := e.Move(t.Context(), path, request)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	planned := slices.IndexFunc(list, func(p api.Progress) bool { return p.Plan != nil })
	if planned < 0 {
		t.Fatalf("%s told no plan: %+v", path, list)
	}
	return *list[planned].Plan, *list[len(list)-1].Result
}

// Upgrade upgrades a container by the API, and returns the plan and the result.
func (e *Env) Upgrade(t *testing.T, name string, r api.UpgradeRequest) (api.Plan, api.Result) {
	t.Helper()
	return e.MustMove(t, APIVersion+"/containers/"+name+"/upgrade", r)
}

// Rollback rolls a container back by the API, and returns the plan and the result.
func (e *Env) Rollback(t *testing.T, name string, r api.RollbackRequest) (api.Plan, api.Result) {
	t.Helper()
	return e.MustMove(t, APIVersion+"/containers/"+name+"/rollback", r)
}

// Snapshot keeps a container as a revision by the API.
func (e *Env) Snapshot(t *testing.T, name, message string) (r api.Revision) {
	t.Helper()
	e.Call(t, http.MethodPost, APIVersion+"/containers/"+name+"/snapshot", api.SnapshotRequest{Message: message}, &r)
	return r
}

// Revisions lists a container's revisions by the API.
func (e *Env) Revisions(t *testing.T, name string) (list []api.Revision) {
	t.Helper()
	e.Call(t, http.MethodGet, APIVersion+"/containers/"+name+"/revisions", nil, &list)
	return list
}

// ChainOf returns the chain id of an image's layers.
func ChainOf(img Image) string { return identity.ChainID(img.Config.RootFS.DiffIDs).String() }
