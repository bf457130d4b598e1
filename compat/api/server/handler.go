package server

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/moby"
)

// Handler answers a request. The variables are those in the path of its route.
type Handler = func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error

// printable makes the errors of a handler safe for a terminal.
func printable(h Handler) Handler {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		return compat.PrintableError(h(ctx, w, r, vars))
	}
}

// request is one of the requests of package api.
type request[T any] interface {
	*T
	Validate() error
}

// decoded returns a handler that decodes the body of a request before it calls h.
func decoded[T any, P request[T]](h func(ctx context.Context, w http.ResponseWriter, vars map[string]string, body T) error) Handler {
	return printable(func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		var body T
		if err := decode(r, P(&body)); err != nil {
			return err
		}
		return h(ctx, w, vars, body)
	})
}

// decode reads the body of a request. An error is of the class invalid argument.
func decode(r *http.Request, into interface{ Validate() error }) error {
	if err := checkContentType(r); err != nil {
		return err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if err := api.Decode(r.Body, into); err != nil {
		return moby.InvalidParameter(err)
	}
	return nil
}

// checkContentType demands JSON of a request that has a body, as Docker's routes do.
func checkContentType(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	if given == "" && (r.Body == nil || r.ContentLength == 0) {
		return nil
	}
	const want = "application/json"
	switch mediaType, _, err := mime.ParseMediaType(given); {
	case err != nil:
		return moby.InvalidParameter(fmt.Errorf("malformed Content-Type header (%s): %w", given, err))
	case mediaType != want:
		return moby.InvalidParameter(fmt.Errorf("unsupported Content-Type header (%s): must be '%s'", given, want))
	}
	return nil
}

// writeJSON writes a whole answer.
func writeJSON(w http.ResponseWriter, status int, answer any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(answer)
}
