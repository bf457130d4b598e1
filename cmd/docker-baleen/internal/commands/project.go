package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

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

// member is a container of a project.
type member struct{ name, image string }

// moved is a container that was upgraded.
type moved struct {
	name   string
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
			members = append(members, member{name: ownName(c), image: c.Labels[compose.LabelImageName]})
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
		current, err := findImage(ctx, p.docker, m.name, m.image, p.pull, p.out.Quiet)
		if err != nil {
			return nil, err
		}
		if !current && m.image != "" {
			if current, err = standsOn(ctx, p.docker, m.name, m.image); err != nil {
				return nil, err
			}
		}
		if !current || p.dryRun && p.out.Custom() { // a dry run prints plans only
			old = append(old, m)
			continue
		}
		if err := p.showCurrent(ctx, p.docker, m.name); err != nil {
			return nil, err
		}
	}
	return old, nil
}

// standsOn reports whether a container stands on what the name of an image means.
func standsOn(ctx context.Context, docker command.Cli, name, image string) (bool, error) {
	c, err := docker.Client().ContainerInspect(ctx, name)
	if err != nil {
		return false, err
	}
	found, err := docker.Client().ImageInspect(ctx, image)
	return err == nil && found.ID == c.Image, err
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
		result, err = connect(p.docker).Upgrade(ctx, m.name, r, report)
		return result, err
	})
	if result.RolledBack == "" && result.Before.Number > 0 {
		p.done = append(p.done, moved{m.name, result.Before.Number})
	}
	if status := (cli.StatusError{}); errors.As(err, &status) && status.StatusCode == statusUnseen {
		p.unseen = errors.Join(p.unseen, err)
		return nil
	}
	return err
}

// takeBack rolls back what was upgraded before a container that failed, the last one first.
// Whoever interrupts the command knows which containers they want to keep, so then it
// only says how.
func (p *project) takeBack(ctx context.Context, name string, failure error) error {
	if p.dryRun || len(p.done) == 0 {
		return failure
	}
	slices.Reverse(p.done)
	why := printable.Text(failure.Error())
	var names, hints []string
	for _, d := range p.done {
		names = append(names, printable.Line(d.name))
		hints = append(hints, fmt.Sprintf("docker baleen rollback %s %d", printable.Shell(d.name), d.before))
	}
	if ctx.Err() != nil {
		return cli.StatusError{StatusCode: statusSignalled, Cause: failure, Status: fmt.Sprintf(
			"%s\nThe containers before it stay upgraded. To take them back: %s", why, strings.Join(hints, "; "))}
	}
	var failed error
	for _, d := range p.done {
		if !p.out.Quiet {
			fmt.Fprintf(p.docker.Err(), "taking back %s\n", printable.Line(d.name))
		}
		r := api.RollbackRequest{Revision: d.before, Message: "taken back: " + name + " was not upgraded", NoStart: p.noStart, RestartDependents: p.restart}
		err := p.run(ctx, p.docker, d.name, func(ctx context.Context, report func(api.Progress)) (api.Result, error) {
			return connect(p.docker).Rollback(ctx, d.name, r, report)
		})
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("take back %s: %w", printable.Line(d.name), err))
		}
	}
	code := 1
	if status := (cli.StatusError{}); errors.As(failure, &status) && failed == nil {
		code = status.StatusCode
	}
	text := fmt.Sprintf("%s\nTaken back as well: %s.", why, strings.Join(names, ", "))
	if failed != nil {
		text = fmt.Sprintf("%s\n%s", why, printable.Text(failed.Error()))
	}
	return cli.StatusError{StatusCode: code, Cause: errors.Join(failure, failed), Status: text}
}
