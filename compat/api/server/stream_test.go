package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/compat/api/server"
)

// TestWorkDoesNotWaitForAClientThatReadsNothing: its request ends instead, and the work
// with it.
func TestWorkDoesNotWaitForAClientThatReadsNothing(t *testing.T) {
	defer server.SetSendTimeout(100 * time.Millisecond)()
	done := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := &daemon{hold: func(emit func(api.Progress)) {
			text := strings.Repeat("x", 1<<16)
			for r.Context().Err() == nil {
				emit(api.Progress{Status: text})
			}
		}}
		done <- server.Upgrade(d)(r.Context(), w, r, vars)
	}))
	defer s.Close()
	answer, err := http.Post(s.URL, "application/json", strings.NewReader(`{"Image":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the work waits")
	}
}

// TestMessagesMayComeLate: by HTTP/2 a deadline that passes ends the answer, also if
// nothing is being sent.
func TestMessagesMayComeLate(t *testing.T) {
	const timeout = 50 * time.Millisecond
	defer server.SetSendTimeout(timeout)()
	d := &daemon{hold: func(emit func(api.Progress)) {
		for range 2 {
			emit(api.Progress{Status: "text"})
			time.Sleep(2 * timeout)
		}
	}}
	for _, version := range []int{1, 2} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := server.Upgrade(d)(r.Context(), w, r, vars); err != nil {
				t.Error(err)
			}
		}))
		s.EnableHTTP2 = version == 2
		s.StartTLS()
		defer s.Close()
		answer, err := s.Client().Post(s.URL, "application/json", strings.NewReader(`{"Image":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if want := strings.Repeat("{\"Status\":\"text\"}\n", 2); err != nil || string(text) != want || answer.ProtoMajor != version {
			t.Errorf("%s: %q: %v", answer.Proto, text, err)
		}
	}
}
