package show

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

// Output is how a command shows its result.
type Output struct {
	Quiet  bool
	Format string
}

// Custom says that the result is for a program or in the user's own words.
func (o Output) Custom() bool { return o.Format != "" }

// Write prints a result as the format says: "json" or a template. A program gets it
// as it is, and a terminal as it can show it.
func (o Output) Write(w *streams.Out, result any) error {
	text := o.Format
	if text == formatter.JSONFormatKey {
		text = formatter.JSONFormat
	}
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	template, err := templates.Parse(text)
	if err != nil {
		return fmt.Errorf("parse --format %q: %w", o.Format, err)
	}
	var out strings.Builder
	if err := template.Execute(&out, result); err != nil {
		return fmt.Errorf("apply --format %q: %w", o.Format, err)
	}
	shown := out.String()
	if w.IsTerminal() {
		shown = printable.Text(shown)
	}
	_, err = fmt.Fprintln(w, shown)
	return err
}

// Check refuses a format that is none before anything is done to a container.
func (o Output) Check() error {
	if _, err := templates.Parse(o.Format); err != nil {
		return fmt.Errorf("parse --format %q: %w", o.Format, err)
	}
	return nil
}

func Size(bytes int64) string {
	if bytes < 0 {
		return "N/A" // as docker says of what it does not know
	}
	return units.HumanSizeWithPrecision(float64(bytes), 3)
}

// Image is an image as people read it: its name and its short id.
func Image(i api.Image) string {
	id := ShortID(i.ID.String())
	switch {
	case i.Name == "" || i.Name == i.ID.String():
		return id
	case id == "":
		return printable.Line(i.Name)
	}
	return printable.Line(i.Name) + " (" + id + ")"
}

func ShortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	return printable.Line(id[:min(len(id), 12)])
}

func Plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// OneLine is a text of several lines on one.
func OneLine(s string) string { return printable.Text(strings.Join(strings.Fields(s), " ")) }

// value is a setting, or says that there is none.
func value(s string) string {
	if s == "" {
		return "(none)"
	}
	return printable.Line(s)
}

// Error shows an error, whose text may be of others, as a terminal is to
// get it. The status of one that has a status of its own is printable already.
func Error(err error) error {
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
