package main

import (
	"context"
	"time"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/integration/bench/results"
	"github.com/baleen-project/baleen/integration/stack"
)

// fork is the contestant that has revisions.
type fork struct {
	*docker
	numbers map[string]int // of the revisions, by container and state
}

func startFork(ctx context.Context, a *arena) (contestant, error) {
	d, err := startDocker(ctx, a, results.Fork, stack.Config{Flavor: stack.Fork})
	if err != nil {
		return nil, err
	}
	describeEngine(ctx, a.report.Machine, d)
	return &fork{docker: d, numbers: map[string]int{}}, nil
}

func (f *fork) keeper() bool { return true }

func (f *fork) snapshot(ctx context.Context, container, state string) (time.Duration, error) {
	var made api.Revision
	took, err := f.api.post(ctx, "/containers/"+container+"/snapshot", api.SnapshotRequest{}, &made)
	f.numbers[container+" "+state] = made.Number
	return took, err
}

func (f *fork) rollback(ctx context.Context, container, state string, _ replacement) (time.Duration, error) {
	return f.api.follow(ctx, "/containers/"+container+"/rollback", api.RollbackRequest{Revision: f.numbers[container+" "+state]})
}

func (f *fork) upgrade(ctx context.Context, container, image string, _ replacement) (time.Duration, error) {
	return f.api.follow(ctx, "/containers/"+container+"/upgrade", api.UpgradeRequest{Image: image})
}
