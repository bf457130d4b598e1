package commands

import (
	"context"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

const (
	// statusRolledBack is the exit status when a container did not come up and
	// is back where it was.
	statusRolledBack = 3
	// statusUnseen is the exit status when a container was moved, and something came in
	// between before it was seen to be up.
	statusUnseen = 4
	// statusSignalled is what shells and docker say of ^C.
	statusSignalled = 130
)

// move is what upgrade and rollback have in common: both take a container
// elsewhere.
type move struct {
	message string
	policy  policyFlag
	keep    []string
	dryRun  bool
	noStart bool
	restart bool // the containers that share namespaces
	out     show.Output
}

func (m *move) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&m.message, "message", "m", "", "What the list of revisions says of it")
	f.Var(&m.policy, "policy", policyHelp)
	f.StringArrayVar(&m.keep, "keep", nil, "A file or directory that stays as the container has it, whatever the image has there (may be given more than once)")
	f.BoolVar(&m.dryRun, "dry-run", false, "Only show what would be done")
	f.BoolVar(&m.noStart, "no-start", false, "Leave the container stopped")
	f.BoolVar(&m.restart, "restart-dependents", false, "Restart the containers that share the network, pid or ipc namespace of the container, if they run")
	f.BoolVarP(&m.out.Quiet, "quiet", "q", false, "Only print the number of the revision that the container then stands on")
	f.StringVar(&m.out.Format, "format", "", "Print the result, or with --dry-run the plan, as 'json' or by a Go template")
	completeWith(cmd, "policy", policies...)
	completeWith(cmd, "format", formats...)
	completeNothing(cmd, "message", "keep")
}

// request sends the move on its way, and hands on the daemon's messages.
type request func(ctx context.Context, report func(api.Progress)) (api.Result, error)

// run makes a move and shows it from beginning to end.
func (m *move) run(ctx context.Context, docker command.Cli, container string, send request) error {
	if err := m.out.Check(); err != nil {
		return err
	}
	var plan api.Plan
	steps := show.NewSteps(docker.Err(), m.out.Quiet)
	result, err := send(ctx, func(p api.Progress) {
		if p.Plan != nil {
			plan = *p.Plan
			if !m.dryRun {
				show.Warnings(docker.Err(), plan.Warnings)
			}
		}
		steps.Show(p)
	})
	steps.End(err == nil && result.RolledBack == "")
	switch {
	case err != nil:
		return signalled(err, fmt.Sprintf("docker baleen revisions %s shows what it stands on now", printable.Shell(container)))
	case m.dryRun:
		return m.showPlan(docker, container, plan)
	}
	return m.showResult(docker, container, plan, result)
}

func (m *move) showPlan(docker command.Cli, container string, plan api.Plan) error {
	var err error
	if m.out.Custom() {
		err = m.out.Write(docker.Out(), plan)
	} else {
		err = show.Plan(docker.Out(), container, plan)
	}
	if err == nil && plan.FailCount > 0 {
		err = fmt.Errorf("without --dry-run this would fail: the policy is fail for %s", show.Plural(plan.FailCount, "conflict", "conflicts"))
	}
	return err
}

func (m *move) showResult(docker command.Cli, container string, plan api.Plan, r api.Result) error {
	show.Warnings(docker.Err(), r.Warnings)
	if m.out.Quiet || m.out.Custom() {
		show.Warnings(docker.Err(), conflictWarning(plan))
	}
	if err := m.printResult(docker, container, plan, r); err != nil {
		return err
	}
	if r.RolledBack != "" {
		return cli.StatusError{StatusCode: statusRolledBack, Status: fmt.Sprintf(
			"%s did not come up on %s and was rolled back: %s\nIt is again as it was before, on %s.",
			container, show.Image(plan.To), printable.Text(r.RolledBack), show.Image(plan.From))}
	}
	if r.Unseen != "" {
		return cli.StatusError{StatusCode: statusUnseen, Status: fmt.Sprintf(
			"%s was moved, but nobody knows whether it comes up: %s", container, printable.Text(r.Unseen))}
	}
	return nil
}

func (m *move) printResult(docker command.Cli, container string, plan api.Plan, r api.Result) error {
	switch {
	case m.out.Custom():
		return m.out.Write(docker.Out(), r)
	case m.out.Quiet:
		fmt.Fprintln(docker.Out(), r.Revision.Number)
		return nil
	}
	if err := show.Whole(docker.Out(), plan); err != nil {
		return err
	}
	if err := show.Conflicts(docker.Out(), plan); err != nil {
		return err
	}
	for _, name := range r.Restarted {
		fmt.Fprintf(docker.Out(), "%s was restarted: it shares namespaces of %s.\n", printable.Line(name), printable.Line(container))
	}
	if r.RolledBack == "" {
		fmt.Fprintf(docker.Out(), "%s is on %s%s.\n", printable.Line(container), where(r.Revision), started(r.Started))
		if r.Before.Number > 0 {
			fmt.Fprintf(docker.Out(), "To go back: docker baleen rollback %s %d\n", printable.Shell(container), r.Before.Number)
		}
	}
	return nil
}

// conflictWarning says in one line that there were conflicts, for who does not get their
// list.
func conflictWarning(p api.Plan) []string {
	switch {
	case p.ConflictCount == 0:
		return nil
	case len(p.Conflicts) == 0:
		return []string{show.Plural(p.ConflictCount, "path was", "paths were") + " changed by the container and by the image"}
	}
	first := printable.Line(p.Conflicts[0].Path)
	if more := p.ConflictCount - 1; more > 0 {
		first += fmt.Sprintf(" and %d more", more)
	}
	return []string{first + ": changed by the container and by the image"}
}

// where names what a container stands on.
func where(r api.Revision) string {
	image := printable.Line(r.Image)
	if image == "" {
		image = show.ShortID(r.ImageID.String())
	}
	if r.Number == 0 {
		return image
	}
	return fmt.Sprintf("revision %d, %s", r.Number, image)
}

func started(runs bool) string {
	if runs {
		return ", and runs"
	}
	return ", and is stopped"
}
