package baleen

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/errdefs"
	"github.com/docker/docker/pkg/ioutils"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
)

func (r *baleenRouter) postSnapshot(ctx context.Context, w http.ResponseWriter, req *http.Request, vars map[string]string) error {
	var body api.SnapshotRequest
	if err := decode(req, &body); err != nil {
		return err
	}
	made, err := r.backend.ContainerSnapshot(ctx, vars["name"], body)
	if err != nil {
		return err
	}
	return httputils.WriteJSON(w, http.StatusCreated, made)
}

func (r *baleenRouter) getRevisions(ctx context.Context, w http.ResponseWriter, _ *http.Request, vars map[string]string) error {
	list, err := r.backend.ContainerRevisions(ctx, vars["name"])
	if err != nil {
		return err
	}
	if list == nil {
		list = []api.Revision{} // "null" is not a list to all readers
	}
	return httputils.WriteJSON(w, http.StatusOK, list)
}

func (r *baleenRouter) postPrune(ctx context.Context, w http.ResponseWriter, req *http.Request, vars map[string]string) error {
	var body api.PruneRequest
	if err := decode(req, &body); err != nil {
		return err
	}
	report, err := r.backend.ContainerRevisionsPrune(ctx, vars["name"], body)
	if err != nil {
		return err
	}
	return httputils.WriteJSON(w, http.StatusOK, report)
}

func (r *baleenRouter) postUpgrade(ctx context.Context, w http.ResponseWriter, req *http.Request, vars map[string]string) error {
	var body api.UpgradeRequest
	if err := decode(req, &body); err != nil {
		return err
	}
	return stream(w, func(tell func(api.Progress)) error {
		return r.backend.ContainerUpgrade(ctx, vars["name"], body, tell)
	})
}

func (r *baleenRouter) postRollback(ctx context.Context, w http.ResponseWriter, req *http.Request, vars map[string]string) error {
	var body api.RollbackRequest
	if err := decode(req, &body); err != nil {
		return err
	}
	return stream(w, func(tell func(api.Progress)) error {
		return r.backend.ContainerRollback(ctx, vars["name"], body, tell)
	})
}

func (r *baleenRouter) postCheckpoint(ctx context.Context, w http.ResponseWriter, req *http.Request, vars map[string]string) error {
	var body api.CheckpointRequest
	if err := decode(req, &body); err != nil {
		return err
	}
	return stream(w, func(tell func(api.Progress)) error {
		return r.backend.ContainerCheckpoint(ctx, vars["name"], body, tell)
	})
}

func (r *baleenRouter) getCheck(ctx context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
	return httputils.WriteJSON(w, http.StatusOK, r.backend.CheckpointAbility(ctx))
}

func (r *baleenRouter) postRestore(ctx context.Context, w http.ResponseWriter, req *http.Request, _ map[string]string) error {
	var body api.RestoreRequest
	if err := decode(req, &body); err != nil {
		return err
	}
	return stream(w, func(tell func(api.Progress)) error {
		return r.backend.CheckpointRestore(ctx, body, tell)
	})
}

// decode reads a request. What is wrong with it is the caller's fault.
func decode(req *http.Request, into interface{ Validate() error }) error {
	if err := httputils.CheckForJSON(req); err != nil {
		return err
	}
	if req.Body == nil {
		req.Body = http.NoBody
	}
	if err := api.Decode(req.Body, into); err != nil {
		return errdefs.InvalidParameter(err)
	}
	return nil
}

// stream sends what work tells, one message at a time. An error of work before
// that has a status of its own, one after it is the last message.
func stream(w http.ResponseWriter, work func(tell func(api.Progress)) error) error {
	out := ioutils.NewWriteFlusher(w)
	defer out.Close()
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	began := false
	var mu sync.Mutex
	tell := func(p api.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if !began {
			began = true
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
		}
		// Whoever asked may have gone; the work goes on all the same.
		_ = enc.Encode(p)
	}
	err := work(tell)
	if err != nil && began {
		tell(api.Progress{Error: compat.PrintableError(err).Error()})
		return nil
	}
	return err
}
