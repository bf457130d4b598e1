package lifecycle

import (
	"context"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
	"github.com/baleen-project/baleen/imageservice"
)

// ServiceFiles returns the files of containers that an image service keeps.
func ServiceFiles(s *imageservice.Service) Files { return serviceFiles{s} }

type serviceFiles struct{ *imageservice.Service }

func (s serviceFiles) PrepareUpgrade(ctx context.Context, c *moby.Container, o imageservice.UpgradeOptions) (*Prepared, error) {
	return prepared(s.Service.PrepareUpgrade(ctx, c, o))
}

func (s serviceFiles) PrepareRollback(ctx context.Context, c *moby.Container, o imageservice.RollbackOptions) (*Prepared, error) {
	return prepared(s.Service.PrepareRollback(ctx, c, o))
}

func prepared(m *imageservice.Move, err error) (*Prepared, error) {
	if m == nil {
		return nil, err
	}
	return &Prepared{Plan: m.Plan, State: m.State, Switch: switchOf{m}}, err
}

type switchOf struct{ *imageservice.Move }

func (s switchOf) Run(ctx context.Context) (before, to api.Revision, err error) {
	err = s.Move.Run(ctx)
	return s.Before, s.To, err
}
