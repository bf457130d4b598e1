package commands

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/templates"
	"github.com/docker/go-units"

	"github.com/baleen-project/baleen/compat/api"
)

// output is how a command shows its result.
type output struct {
	quiet  bool
	format string
}

// custom says that the result is for a program or in the user's own words.
func (o output) custom() bool { return o.format != "" }

// write prints a result as the format says: "json" or a template.
func (o output) write(w io.Writer, result any) error {
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
	_, err = fmt.Fprintln(w, out.String())
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
		return i.Name
	}
	return i.Name + " (" + id + ")"
}

func shortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	return id[:min(len(id), 12)]
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// printable is text from elsewhere without what a terminal obeys.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// oneLine is printable text on one line.
func oneLine(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// value is printable text on one line, quoted if it is not so by itself.
func value(s string) string {
	if s == "" {
		return "(none)"
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
