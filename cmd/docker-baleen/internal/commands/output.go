package commands

import (
	"errors"
	"fmt"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/cli/streams"
	"github.com/docker/cli/templates"
	"github.com/docker/go-units"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

// output is how a command shows its result.
type output struct {
	quiet  bool
	format string
}

// custom says that the result is for a program or in the user's own words.
func (o output) custom() bool { return o.format != "" }

// write prints a result as the format says: "json" or a template. A program gets it
// as it is, and a terminal as it can show it.
func (o output) write(w *streams.Out, result any) error {
	text := o.format
	if text == formatter.JSONFormatKey {
		text = formatter.JSONFormat
	}
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	template, err := templates.Parse(text)
	if err != nil {
		return fmt.Errorf("parse --format %q: %w", o.format, err)
	}
	var out strings.Builder
	if err := template.Execute(&out, result); err != nil {
		return fmt.Errorf("apply --format %q: %w", o.format, err)
	}
	shown := out.String()
	if w.IsTerminal() {
		shown = printable.Text(shown)
	}
	_, err = fmt.Fprintln(w, shown)
	return err
}

// check refuses a format that is none before anything is done to a container.
func (o output) check() error {
	if _, err := templates.Parse(o.format); err != nil {
		return fmt.Errorf("parse --format %q: %w", o.format, err)
	}
	return nil
}

func size(bytes int64) string {
	if bytes < 0 {
		return "N/A" // as docker says of what it does not know
	}
	return units.HumanSizeWithPrecision(float64(bytes), 3)
}

// named is an image as people read it: its name and its short id.
func named(i api.Image) string {
	id := shortID(i.ID.String())
	switch {
	case i.Name == "" || i.Name == i.ID.String():
		return id
	case id == "":
		return printable.Line(i.Name)
	}
	return printable.Line(i.Name) + " (" + id + ")"
}

func shortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	return printable.Line(id[:min(len(id), 12)])
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// oneLine is a text of several lines on one.
func oneLine(s string) string { return printable.Text(strings.Join(strings.Fields(s), " ")) }

// value is a setting, or says that there is none.
func value(s string) string {
	if s == "" {
		return "(none)"
	}
	return printable.Line(s)
}

// printableError shows an error, whose text may be of others, as a terminal is to
// get it. The status of one that has a status of its own is printable already.
func printableError(err error) error {
	if err == nil {
		return nil
	}
	var status cli.StatusError
	if errors.As(err, &status) {
		if status.Cause != nil {
			status.Cause = shownError{status.Cause}
		}
		return status
	}
	return shownError{err}
}

type shownError struct{ err error }

func (e shownError) Error() string { return printable.Text(e.err.Error()) }
func (e shownError) Unwrap() error { return e.err }
