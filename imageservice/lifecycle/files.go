package lifecycle

import (
	"context"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// ServiceFiles returns the files of containers that an image service keeps.
func ServiceFiles(s *imageservice.Service) Files {
	return serviceFiles{s, s.RevisionStore()}
}

type serviceFiles struct {
	*imageservice.Service
	*revisions.Store
}

func (s serviceFiles) PrepareUpgrade(ctx context.Context, c *moby.Container, o revisions.UpgradeOptions) (*Prepared, error) {
	return prepared(s.Store.PrepareUpgrade(ctx, c, o))
}

func (s serviceFiles) PrepareRollback(ctx context.Context, c *moby.Container, o revisions.RollbackOptions) (*Prepared, error) {
	return prepared(s.Store.PrepareRollback(ctx, c, o))
}

func prepared(m *revisions.Move, err error) (*Prepared, error) {
	if m == nil {
		return nil, err
	}
	return &Prepared{Plan: m.Plan, State: m.State, Switch: switchOf{m}}, err
}

type switchOf struct{ *revisions.Move }

func (s switchOf) Run(ctx context.Context) (before, to api.Revision, err error) {
	err = s.Move.Run(ctx)
	return s.Before, s.To, err
}
