package bounded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// Limits bound one JSON text.
type Limits struct {
	Bytes int64
	// Values is how many values the text may have, of all kinds, at all levels; an
	// empty object or list counts twice.
	Values int
	Depth  int // of objects and lists in each other
}

var (
	// Image is for indexes, manifests and configs of images. Registries take
	// manifests of 4 MiB; configs may have long histories and labels.
	Image = Limits{Bytes: 8 << 20, Values: 200_000, Depth: 64}
	// Part is for what a checkpoint says of its container.
	Part = Limits{Bytes: 4 << 20, Values: 50_000, Depth: 32}
	// Request is for the body of a request.
	Request = Limits{Bytes: 1 << 20, Values: 20_000, Depth: 16}
	// Answer is for one message of a daemon.
	Answer = Limits{Bytes: 64 << 20, Values: 2_000_000, Depth: 64}
	// Own is for what was written by this program, and has grown with what it was
	// given: the records of revisions.
	Own = Limits{Bytes: 64 << 20, Values: 2_000_000, Depth: 64}
)

// Unmarshal is json.Unmarshal of a text within the limits. The error for one that
// is over them, or is not what it is to be decoded into, is errdefs.ErrInvalidArgument.
func (l Limits) Unmarshal(text []byte, into any) error {
	if err := l.Check(text); err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// Read returns all of r, which is within the limit of bytes.
func (l Limits) Read(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, l.Bytes+1))
	if err == nil {
		err = l.checkSize(int64(len(text)))
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// Check returns an error if a text is over a limit. It does not tell whether the
// text is JSON, which decoding does.
func (l Limits) Check(text []byte) error {
	if err := l.checkSize(int64(len(text))); err != nil {
		return err
	}
	values, depth, inString := 1, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString:
			if c == '\\' {
				i++
			}
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{', c == '[':
			values, depth = values+1, depth+1
		case c == ',':
			values++
		case c == '}', c == ']':
			depth--
		}
		if values > l.Values {
			return tooMuch("more than %d values", l.Values)
		}
		if depth > l.Depth {
			return tooMuch("more than %d levels of objects and lists", l.Depth)
		}
	}
	return nil
}

func (l Limits) checkSize(bytes int64) error {
	if bytes > l.Bytes {
		return tooMuch("more than %d bytes", l.Bytes)
	}
	return nil
}

func tooMuch(format string, limit any) error {
	return fmt.Errorf("it has "+format+", which is the limit: %w", limit, errdefs.ErrInvalidArgument)
}

// Decoder decodes the JSON messages of a stream one after the other.
type Decoder struct {
	limits Limits
	json   *json.Decoder
	from   *io.LimitedReader
}

// NewDecoder returns a decoder of a stream whose every message is within the
// limits.
func (l Limits) NewDecoder(r io.Reader) *Decoder {
	from := &io.LimitedReader{R: r}
	return &Decoder{limits: l, json: json.NewDecoder(from), from: from}
}

// Decode is that of a json.Decoder.
func (d *Decoder) Decode(into any) error {
	// What is buffered has been read within an earlier message's limit.
	d.from.N = d.limits.Bytes + 1
	var text json.RawMessage
	err := d.json.Decode(&text)
	if d.from.N <= 0 && errors.Is(err, io.ErrUnexpectedEOF) {
		err = d.limits.checkSize(d.limits.Bytes + 1)
	}
	if err != nil {
		return err
	}
	return d.limits.Unmarshal(text, into)
}
