package commands

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/show"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

// The exit status of a check, besides 0 for nothing that is left wrong.
const (
	statusFindings = 1
	statusNoCheck  = 2
)

type checkOptions struct {
	req  api.CheckRequest
	json bool
	out  show.Output
}

func newCheck(docker command.Cli) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [OPTIONS]",
		Short: "Look for what is wrong with containers, revisions and images",
		Long: `Look for what is wrong with containers, revisions and images

It compares the daemon's containers with the snapshots, leases, records and blobs
that containerd has, and with the mounts and folders on disk. It can run while
containers are used. It changes nothing without --repair, which repairs only what
cannot lose anything.

The exit status is 0 if nothing is wrong or all was repaired, 1 if something is, and
2 if the check failed.`,
		Example: `  docker baleen check
  docker baleen check --repair

  # Read all blobs as well, which may take long
  docker baleen check --content

  # For a program
  docker baleen check --json`,
		Args:              cli.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return checkDaemon(cmd.Context(), docker, o)
		},
	}
	cmd.Flags().BoolVar(&o.req.Repair, "repair", false, "Repair what can be repaired without losing anything")
	cmd.Flags().BoolVar(&o.req.Content, "content", false, "Read all blobs of images and revisions, and compare their digests")
	cmd.Flags().BoolVar(&o.json, "json", false, "Print the report as JSON, as --format json does")
	cmd.Flags().BoolVarP(&o.out.Quiet, "quiet", "q", false, "Only print the kind and the object of what is wrong")
	cmd.Flags().StringVar(&o.out.Format, "format", "", flags.InspectFormatHelp)
	completeWith(cmd, "format", formats...)
	return cmd
}

func checkDaemon(ctx context.Context, docker command.Cli, o checkOptions) error {
	if o.json {
		if o.out.Custom() {
			return noCheck(errors.New("--json and --format cannot be used together"))
		}
		o.out.Format = formatter.JSONFormatKey
	}
	if err := o.out.Check(); err != nil {
		return noCheck(err)
	}
	report, err := connect(docker).Check(ctx, o.req)
	if err != nil {
		return noCheck(err)
	}
	if o.out.Custom() {
		err = o.out.Write(docker.Out(), report)
	} else {
		printReport(docker.Out(), report, o.out.Quiet)
	}
	switch {
	case err != nil:
		return noCheck(err)
	case report.Left > 0:
		return cli.StatusError{StatusCode: statusFindings, Status: "docker baleen check: " + show.Plural(int64(report.Left), "finding is", "findings are") + " left"}
	}
	return nil
}

// noCheck is the error of a check that failed.
func noCheck(err error) error {
	return cli.StatusError{StatusCode: statusNoCheck, Cause: err}
}

func printReport(w io.Writer, r api.CheckReport, quiet bool) {
	for _, f := range r.Findings {
		if quiet {
			if !f.Repaired {
				fmt.Fprintf(w, "%s %s\n", printable.Line(string(f.Kind)), printable.Line(f.Object))
			}
			continue
		}
		printFinding(w, f)
	}
	if quiet {
		return
	}
	if more := r.Found - len(r.Findings); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	for _, id := range r.Busy {
		fmt.Fprintf(w, "Container %s was not judged: it was busy\n", show.ShortID(id))
	}
	fmt.Fprintf(w, "Looked at %s with %s, %s, %s and %s", show.Plural(int64(r.Looked.Containers), "container", "containers"),
		show.Plural(int64(r.Looked.Revisions), "revision", "revisions"), show.Plural(int64(r.Looked.Leases), "lease", "leases"),
		show.Plural(int64(r.Looked.Images), "image", "images"), show.Plural(int64(r.Looked.Mounts), "mount", "mounts"))
	if r.Looked.Blobs > 0 {
		fmt.Fprintf(w, "; read %s of %s", units.HumanSize(float64(r.Looked.Bytes)), show.Plural(int64(r.Looked.Blobs), "blob", "blobs"))
	}
	fmt.Fprint(w, ".\n")
	switch {
	case r.Found == 0 && len(r.Busy) > 0:
		fmt.Fprintln(w, "Nothing is wrong with what was judged.")
	case r.Found == 0:
		fmt.Fprintln(w, "Nothing is wrong.")
	case r.Left == 0:
		fmt.Fprintf(w, "Repaired %s; nothing else is wrong.\n", show.Plural(int64(r.Found), "finding", "findings"))
	default:
		fmt.Fprintf(w, "%s, %d of them repaired.\n", show.Plural(int64(r.Found), "finding", "findings"), r.Found-r.Left)
	}
}

func printFinding(w io.Writer, f api.Finding) {
	fmt.Fprintf(w, "%s %s\n", printable.Line(string(f.Kind)), printable.Line(f.Object))
	if f.Container != "" && f.Container != f.Object {
		fmt.Fprintf(w, "  of container %s\n", show.ShortID(f.Container))
	}
	fmt.Fprintf(w, "  %s\n", show.OneLine(f.Text))
	switch {
	case f.Repaired:
		fmt.Fprintln(w, "  repaired")
	case f.Failure != "":
		fmt.Fprintf(w, "  could not be repaired: %s\n", show.OneLine(f.Failure))
		fallthrough
	default:
		fmt.Fprintf(w, "  %s\n", show.OneLine(f.Help))
	}
}
