package server

import (
	"context"
	"net/http"

	"github.com/baleen-project/baleen/compat/api"
)

// Checkpoints makes checkpoints of containers and containers of checkpoints. The
// name is a container's name or id. What emits is as in [Moves].
type Checkpoints interface {
	ContainerCheckpoint(ctx context.Context, name string, req api.CheckpointRequest, emit func(api.Progress)) error
	CheckpointRestore(ctx context.Context, req api.RestoreRequest, emit func(api.Progress)) error
	CheckpointAbility(ctx context.Context) api.CheckpointAbility
	ContainerCheckpointAbility(ctx context.Context, name string) (api.CheckpointAbility, error)
}

// Checkpoint answers with a stream.
func Checkpoint(b Checkpoints) Handler {
	return streamed(b.ContainerCheckpoint)
}

// Restore answers with a stream.
func Restore(b Checkpoints) Handler {
	return streamed(func(ctx context.Context, _ string, body api.RestoreRequest, emit func(api.Progress)) error {
		return b.CheckpointRestore(ctx, body, emit)
	})
}

// CheckAbility answers whether the daemon can keep and restore processes.
func CheckAbility(b Checkpoints) Handler {
	return printable(func(ctx context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
		return writeJSON(w, http.StatusOK, b.CheckpointAbility(ctx))
	})
}

// CheckContainerAbility answers whether the daemon can keep the processes of a container.
func CheckContainerAbility(b Checkpoints) Handler {
	return printable(func(ctx context.Context, w http.ResponseWriter, _ *http.Request, vars map[string]string) error {
		ability, err := b.ContainerCheckpointAbility(ctx, vars["name"])
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, ability)
	})
}
