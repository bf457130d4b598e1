package show

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/go-units"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/printable"
)

const (
	defaultTable = "table {{.Number}}\t{{.Image}}\t{{.Message}}\t{{.CreatedSince}}\t{{.Size}}\t{{.State}}"
	quietTable   = "{{.Number}}"
)

// longestMessage is how much of a message the table shows.
const longestMessage = 40

func tableFormat(o Output) formatter.Format {
	switch {
	case o.Quiet && (o.Format == "" || o.Format == formatter.TableFormatKey):
		return quietTable
	case o.Format == "" || o.Format == formatter.TableFormatKey:
		return defaultTable
	}
	return formatter.Format(o.Format)
}

// Revisions writes a list of revisions as the output says. Without noTrunc it shortens
// messages and image IDs.
func Revisions(w io.Writer, o Output, noTrunc bool, list []api.Revision) error {
	c := formatter.Context{Output: w, Format: tableFormat(o), Trunc: !noTrunc}
	return c.Write(newRow(api.Revision{}, c.Trunc), func(format func(formatter.SubContext) error) error {
		for _, r := range list {
			if err := format(newRow(r, c.Trunc)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Describe says in one line what a revision is: "app:1, 2 hours ago: tests pass".
func Describe(r api.Revision) string {
	w := newRow(r, true)
	text := w.Image() + ", " + w.CreatedSince()
	if message := w.Message(); message != "" {
		text += ": " + message
	}
	return text
}

// row is a revision as a template sees it; the methods are its placeholders.
type row struct {
	formatter.HeaderContext
	revision api.Revision
	trunc    bool
}

func newRow(r api.Revision, trunc bool) *row {
	w := &row{revision: r, trunc: trunc}
	w.Header = formatter.SubHeaderContext{
		"Number":       "REVISION",
		"Image":        formatter.ImageHeader,
		"ImageID":      "IMAGE ID",
		"Message":      "MESSAGE",
		"Kind":         "KIND",
		"Previous":     "PREVIOUS",
		"CreatedSince": formatter.CreatedSinceHeader,
		"CreatedAt":    formatter.CreatedAtHeader,
		"Size":         formatter.SizeHeader,
		"Current":      "CURRENT",
		"State":        formatter.StateHeader,
	}
	return w
}

// MarshalJSON is what the format "json" shows: the revision as the daemon told it, with
// its whole message and numbers as numbers. What a terminal would not print is escaped.
func (w *row) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(w.revision)
	if err != nil {
		return nil, err
	}
	var escaped []byte
	for _, r := range string(text) {
		switch {
		case unicode.IsPrint(r):
			escaped = utf8.AppendRune(escaped, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
	}
	return escaped, nil
}

// Number is what rollback takes.
func (w *row) Number() int { return w.revision.Number }

// Image is the name by which the image was asked for, else its id.
func (w *row) Image() string {
	if w.revision.Image != "" && w.revision.Image != w.revision.ImageID.String() {
		return printable.Line(w.revision.Image)
	}
	return w.ImageID()
}

// ImageID is the image's id.
func (w *row) ImageID() string {
	if w.trunc {
		return ShortID(w.revision.ImageID.String())
	}
	return printable.Line(w.revision.ImageID.String())
}

// Message is on one line.
func (w *row) Message() string {
	text := w.revision.Message
	if w.trunc {
		text = formatter.Ellipsis(strings.Join(strings.Fields(text), " "), longestMessage)
	}
	return OneLine(text)
}

// Kind says why there is such a revision.
func (w *row) Kind() string { return printable.Line(string(w.revision.Kind)) }

// Previous is the revision that this one stands on.
func (w *row) Previous() string {
	if w.revision.Previous == 0 {
		return ""
	}
	return strconv.Itoa(w.revision.Previous)
}

// CreatedSince is the revision's age.
func (w *row) CreatedSince() string {
	return units.HumanDuration(time.Since(w.revision.Created)) + " ago"
}

// CreatedAt is when it was sealed.
func (w *row) CreatedAt() string { return w.revision.Created.Local().Format(time.RFC3339) }

// Size is what the revision holds itself.
func (w *row) Size() string { return Size(w.revision.Size) }

// Current says that the container stands on it.
func (w *row) Current() bool { return w.revision.Current }

// State is empty for all but the current one.
func (w *row) State() string {
	if w.revision.Current {
		return "current"
	}
	return ""
}
