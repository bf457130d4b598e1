package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/baleen-project/baleen/compat/bounded"
)

// Decode reads the body of a request, which is JSON of at most 1 MiB and 20,000
// values, or empty, and validates the request. Unlike Docker's own routes it
// refuses a field that the request does not have: an option that silently does
// nothing is no way to treat a file system.
func Decode(body io.Reader, into interface{ Validate() error }) error {
	text, err := bounded.Request.Read(body)
	if err == nil {
		err = bounded.Request.Check(text)
	}
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("invalid JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("unexpected content after JSON")
	}
	return into.Validate()
}
