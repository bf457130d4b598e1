package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// engine speaks with dockerd's API.
type engine struct {
	client http.Client
}

func newEngine(host string) *engine {
	socket := strings.TrimPrefix(host, "unix://")
	return &engine{client: http.Client{Transport: &http.Transport{
		// As in the docker command: dockerd would pack archives.
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}}
}

func (e *engine) close() { e.client.CloseIdleConnections() }

// timed sends a request and returns the time until the answer is complete. A
// body is a tar file.
func (e *engine) timed(ctx context.Context, method, path string, body []byte) (time.Duration, error) {
	began := time.Now()
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	resp, err := e.send(ctx, method, path, typeTar, reader)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 300:
		err = fmt.Errorf("%s: %w", resp.Status, message(resp.Body))
	case body != nil:
		err = readProgress(resp.Body)
	default:
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return time.Since(began), nil
}

// remove deletes what may not be there.
func (e *engine) remove(ctx context.Context, path string) error {
	resp, err := e.send(ctx, http.MethodDelete, path, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotFound {
		return fmt.Errorf("DELETE %s: %s: %w", path, resp.Status, message(resp.Body))
	}
	_, err = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return err
}

// post sends a request in JSON, if it is not nil, and decodes the answer, if
// into is not nil. It returns the time until the answer is complete.
func (e *engine) post(ctx context.Context, path string, request, into any) (time.Duration, error) {
	return e.exchange(ctx, path, request, func(answer io.Reader) error {
		if into == nil {
			_, err := io.Copy(io.Discard, answer)
			return err
		}
		return json.NewDecoder(answer).Decode(into)
	})
}

// follow is post for an answer that is a stream of messages.
func (e *engine) follow(ctx context.Context, path string, request any) (time.Duration, error) {
	return e.exchange(ctx, path, request, readProgress)
}

func (e *engine) exchange(ctx context.Context, path string, request any, read func(io.Reader) error) (time.Duration, error) {
	began := time.Now()
	var body io.Reader
	if request != nil {
		text, err := json.Marshal(request)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	resp, err := e.send(ctx, http.MethodPost, path, typeJSON, body)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusConflict:
		err = errdefs.ErrConflict.WithMessage(message(resp.Body).Error())
	case resp.StatusCode >= 300:
		err = fmt.Errorf("%s: %w", resp.Status, message(resp.Body))
	default:
		err = read(resp.Body)
	}
	if err != nil {
		return 0, fmt.Errorf("POST %s: %w", path, err)
	}
	return time.Since(began), nil
}

// The types of what is sent.
const (
	typeTar  = "application/x-tar"
	typeJSON = "application/json"
)

func (e *engine) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://bench"+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	return e.client.Do(req)
}

// message is the error that a body tells of.
func message(body io.Reader) error {
	var answer struct{ Message string }
	text, err := io.ReadAll(io.LimitReader(body, 1<<16))
	if err != nil {
		return err
	}
	if json.Unmarshal(text, &answer) != nil || answer.Message == "" {
		answer.Message = string(text)
	}
	return errors.New(answer.Message)
}

// readProgress reads the messages of a build or a move to the end. One may be an error.
func readProgress(body io.Reader) error {
	messages := json.NewDecoder(body)
	for {
		var progress struct{ Error string }
		err := messages.Decode(&progress)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if progress.Error != "" {
			return errors.New(progress.Error)
		}
	}
}

// buildContext is a tar file with nothing but the Dockerfile.
func buildContext(dockerfile string) ([]byte, error) {
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	if err := out.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile))}); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(out, dockerfile); err != nil {
		return nil, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
