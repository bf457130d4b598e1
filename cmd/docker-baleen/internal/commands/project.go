package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/compose"
	"github.com/baleen-project/baleen/compat/printable"
)

// project is the upgrade of the containers of a project of Docker Compose, one after the
// other, each to what the name of its service's image means now.
type project struct {
	*move
	docker  command.Cli
	name    string
	pull    bool
	request api.UpgradeRequest // without an image

	done   []moved // in their order
	unseen error   // of a container of which nobody knows whether it comes up
}

// member is a container of a project. It is asked for by its id, since another container
// may have its name meanwhile.
type member struct{ id, name, service, image string }

// moved is a container that was upgraded.
type moved struct {
	member
	before int // the revision that it left
}

// upgrade upgrades the containers of services, or of all if there are none. If one fails
// or does not come up, those before it are rolled back.
func (p *project) upgrade(ctx context.Context, services []string) error {
	members, err := p.members(ctx, services)
	if err != nil {
		return err
	}
	if members, err = p.outdated(ctx, members); err != nil {
		return err
	}
	for _, m := range members {
		if err := p.one(ctx, m); err != nil {
			return p.takeBack(ctx, m.name, err)
		}
	}
	return p.unseen
}

// members finds the containers of services, those that others depend on first.
func (p *project) members(ctx context.Context, services []string) ([]member, error) {
	all, err := p.docker.Client().ContainerList(ctx, container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", compose.LabelProject+"="+p.name)),
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c container.Summary) bool {
		return len(c.Names) == 0 || strings.EqualFold(c.Labels[compose.LabelOneoff], "true")
	})
	dependsOn := map[string]string{}
	for _, c := range all {
		dependsOn[c.Labels[compose.LabelService]] = c.Labels[compose.LabelDependsOn]
	}
	for _, s := range services {
		if _, ok := dependsOn[s]; !ok {
			return nil, fmt.Errorf("the project %s has no container of the service %s", printable.Line(p.name), printable.Line(s))
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no container belongs to a project %s", printable.Line(p.name))
	}
	order := compose.Order(dependsOn)
	slices.SortStableFunc(all, func(a, b container.Summary) int {
		place := func(c container.Summary) int { return slices.Index(order, c.Labels[compose.LabelService]) }
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(number(a), number(b)))
	})
	var members []member
	for _, c := range all {
		if len(services) == 0 || slices.Contains(services, c.Labels[compose.LabelService]) {
			members = append(members, member{c.ID, ownName(c), c.Labels[compose.LabelService], c.Labels[compose.LabelImageName]})
		}
	}
	return members, nil
}

// ownName is the name of a container. With `links` on the default bridge it has the names
// "/OTHER/ALIAS" of links besides, which may come first.
func ownName(c container.Summary) string {
	i := slices.IndexFunc(c.Names, func(name string) bool { return strings.LastIndex(name, "/") == 0 })
	return strings.TrimPrefix(c.Names[max(i, 0)], "/")
}

// number is that of a container among those of its service.
func number(c container.Summary) int {
	n, err := strconv.Atoi(c.Labels[compose.LabelNumber])
	if err != nil {
		return 0
	}
	return n
}

// outdated returns the containers that do not stand on the image of their service. It
// tells of the others, and pulls the images if that is asked for.
func (p *project) outdated(ctx context.Context, members []member) ([]member, error) {
	var old []member
	for _, m := range members {
		current, err := p.isCurrent(ctx, m)
		if err != nil {
			return nil, err
		}
		if !current || p.dryRun && p.out.Custom() { // a dry run prints plans only
			old = append(old, m)
			continue
		}
		if err := p.showCurrent(ctx, p.docker, m.id, m.name); err != nil {
			return nil, err
		}
	}
	return old, nil
}

// isCurrent reports whether a container stands on what its service's name of an image means,
// pulled if that is asked for.
func (p *project) isCurrent(ctx context.Context, m member) (bool, error) {
	c, err := p.docker.Client().ContainerInspect(ctx, m.id)
	if err != nil {
		return false, err
	}
	ref := cmp.Or(m.image, c.Config.Image)
	if p.pull {
		if err := p.pullOrBuilt(ctx, m, c, ref); err != nil {
			return false, err
		}
	}
	found, err := p.docker.Client().ImageInspect(ctx, ref)
	return err == nil && found.ID == c.Image, err
}

// pullOrBuilt pulls the image of a service. What Compose built is not pulled if the service
// has no other name for it, and used as it is if no registry has it.
func (p *project) pullOrBuilt(ctx context.Context, m member, c container.InspectResponse, ref string) error {
	var labels map[string]string
	if found, err := p.docker.Client().ImageInspect(ctx, ref); err == nil && found.Config != nil {
		labels = found.Config.Labels
	}
	built := labels[compose.LabelProject] == p.name && labels[compose.LabelService] == m.service
	if !built || !compose.IsDefaultImage(p.name, m.service, ref) {
		err := pullImage(ctx, p.docker, c, ref, p.out.Quiet)
		if !built || !errdefs.IsNotFound(err) && !errdefs.IsPermissionDenied(err) && !errdefs.IsUnauthorized(err) {
			return err
		}
		show.Warnings(p.docker.Err(), []string{fmt.Sprintf("%s cannot be pulled: %v", ref, err)})
	}
	if !p.out.Quiet {
		fmt.Fprintf(p.docker.Err(), "%s: Compose built the image %s, which is used as it is here\n", printable.Line(m.name), printable.Line(ref))
	}
	return nil
}

// one upgrades a container.
func (p *project) one(ctx context.Context, m member) error {
	r := p.request
	r.Image = m.image
	var result api.Result
	if !p.out.Quiet {
		fmt.Fprintf(p.docker.Err(), "upgrading %s\n", printable.Line(m.name))
	}
	err := p.run(ctx, p.docker, m.name, func(ctx context.Context, report func(api.Progress)) (_ api.Result, err error) {
		result, err = connect(p.docker).Upgrade(ctx, m.id, r, report)
		return result, err
	})
	if result.RolledBack == "" && result.Before.Number > 0 {
		p.done = append(p.done, moved{m, result.Before.Number})
	}
	if status := (cli.StatusError{}); errors.As(err, &status) && status.StatusCode == statusUnseen {
		p.unseen = errors.Join(p.unseen, err)
		return nil
	}
	return err
}

// takeBack rolls back what was upgraded before a container that failed, the last one first.
// Whoever stops the command by a signal knows which containers they want to keep: it then says
// only how to take back the rest.
func (p *project) takeBack(ctx context.Context, name string, failure error) error {
	if p.dryRun || len(p.done) == 0 {
		return failure
	}
	slices.Reverse(p.done)
	var (
		failed    error
		back      []string
		remaining []string // the others
		hints     []string // commands that take these back
	)
	for _, d := range p.done {
		if ctx.Err() == nil {
			err := p.rollBack(ctx, d, name)
			if err == nil {
				back = append(back, printable.Line(d.name))
				continue
			}
			failed = errors.Join(failed, fmt.Errorf("take back %s: %w", printable.Line(d.name), err))
		}
		remaining = append(remaining, printable.Line(d.name))
		hints = append(hints, fmt.Sprintf("docker baleen rollback %s %d", printable.Shell(d.name), d.before))
	}
	text := []string{printable.Text(failure.Error())}
	if failed != nil {
		text = append(text, printable.Text(failed.Error()))
	}
	if len(back) > 0 {
		text = append(text, "Taken back as well: "+strings.Join(back, ", ")+".")
	}
	if len(remaining) > 0 {
		text = append(text, "Not taken back: "+strings.Join(remaining, ", ")+". To do that: "+strings.Join(hints, "; "))
	}
	code := 1
	if status := (cli.StatusError{}); errors.As(failure, &status) && failed == nil {
		code = status.StatusCode
	}
	if ctx.Err() != nil {
		code = statusSignalled
	}
	return cli.StatusError{StatusCode: code, Cause: errors.Join(failure, failed), Status: strings.Join(text, "\n")}
}

// rollBack rolls back a container that was upgraded before another one failed.
func (p *project) rollBack(ctx context.Context, d moved, failed string) error {
	if !p.out.Quiet {
		fmt.Fprintf(p.docker.Err(), "taking back %s\n", printable.Line(d.name))
	}
	r := api.RollbackRequest{Revision: d.before, Message: "taken back: " + failed + " was not upgraded", NoStart: p.noStart, RestartDependents: p.restart}
	return p.run(ctx, p.docker, d.name, func(ctx context.Context, report func(api.Progress)) (api.Result, error) {
		return connect(p.docker).Rollback(ctx, d.id, r, report)
	})
}
