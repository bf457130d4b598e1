package imageservice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/moby/go-archive"

	"github.com/baleen-project/baleen/imageservice"
)

// TestAnswerChanges: the answer is what encoding/json makes of the list, be it
// shorter or longer than what is kept in memory.
func TestAnswerChanges(t *testing.T) {
	odd := []archive.Change{{Path: "/<&>\"\n", Kind: archive.ChangeDelete}, {Path: "/", Kind: archive.ChangeAdd}, {Path: ""}, {Path: "/\xff"}}
	var many []archive.Change
	for i := range 100_000 {
		many = append(many, archive.Change{Path: fmt.Sprintf("/dir%d/%s%d", i/100, strings.Repeat("long", i%20), i), Kind: archive.ChangeType(i % 3)})
	}
	for name, list := range map[string][]archive.Change{"none": nil, "odd": odd, "many": slices.Concat(many, odd)} {
		t.Run(name, func(t *testing.T) {
			var want strings.Builder
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(list); err != nil {
				t.Fatal(err)
			}
			got := httptest.NewRecorder()
			err := imageservice.AnswerChanges(t.Context(), got, func(context.Context, string) ([]archive.Change, error) { return list, nil }, "")
			if err != nil || got.Code != 200 || got.Header().Get("Content-Type") != "application/json" {
				t.Errorf("answered %d, %v", got.Code, err)
			}
			if got.Body.String() != want.String() {
				t.Errorf("answered %d bytes, want %d: %.200q", got.Body.Len(), want.Len(), got.Body.String())
			}
		})
	}
	t.Run("no room", func(t *testing.T) {
		t.Setenv("TMPDIR", "/nowhere")
		got := httptest.NewRecorder()
		err := imageservice.AnswerChanges(t.Context(), got, func(context.Context, string) ([]archive.Change, error) { return many, nil }, "")
		// A walk passes over what is not there.
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/nowhere") || got.Body.Len() > 0 {
			t.Errorf("answered %d bytes, %v", got.Body.Len(), err)
		}
	})
	failure := errors.New("the container cannot be read")
	got := httptest.NewRecorder()
	err := imageservice.AnswerChanges(t.Context(), got, func(context.Context, string) ([]archive.Change, error) { return nil, failure }, "")
	if !errors.Is(err, failure) || got.Body.Len() > 0 {
		t.Errorf("a failure gave %v, and %d bytes", err, got.Body.Len())
	}
}
