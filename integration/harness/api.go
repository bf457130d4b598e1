package harness

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Post sends a request to the API.
func (e *Env) Post(t *testing.T, path string) (int, string) {
	t.Helper()
	return e.Request(t, http.MethodPost, path, "")
}

// APIVersion is a prefix of the API's paths; without one it is the newest.
const APIVersion = "/v1.44"

// Open sends a request to the API.
func (e *Env) Open(ctx context.Context, method, path, body string) (*http.Response, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", strings.TrimPrefix(e.Host(), "unix://"))
		},
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return (&http.Client{Transport: transport}).Do(req)
}

// Request sends a request to the API and returns the answer.
func (e *Env) Request(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	resp, err := e.Open(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// Call sends a request that must succeed, and decodes the answer.
func (e *Env) Call(t *testing.T, method, path string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := e.Request(t, method, path, string(text))
	if status >= 300 {
		t.Fatalf("%s %s %s: %d %s", method, path, text, status, answer)
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
}
