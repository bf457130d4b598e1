package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestReleaseOfASource(t *testing.T) {
	eachLine(t, func(t *testing.T, m *maker) {
		is := func(want string) {
			t.Helper()
			if got, err := m.releaseOf(t.Context()); err != nil || got != want {
				t.Errorf("the release is %q, want %q: %v", got, want, err)
			}
		}
		is(m.pin.Release)

		m.source = t.TempDir()
		untold := func() {
			t.Helper()
			if got, err := m.releaseOf(t.Context()); err == nil || !strings.Contains(err.Error(), "-release") {
				t.Errorf("the release is %q, want an error that names the option: %v", got, err)
			}
		}
		untold() // no repository
		git(t, m.source, "init", "-q")
		put(t, filepath.Join(m.source, "file"), nil)
		git(t, m.source, "add", "file")
		git(t, m.source, "commit", "-q", "-m", "Moby")
		untold()                                  // no tag
		git(t, m.source, "tag", "v2.0.0-beta.30") // a module's
		untold()
		git(t, m.source, "tag", map[string]string{"28.5": "v28.5.9", "29": "docker-v29.9.9"}[string(m.line)])
		is(map[string]string{"28.5": "28.5.9", "29": "29.9.9"}[string(m.line)])

		m.release = "29.9.9-0ubuntu1"
		is("29.9.9-0ubuntu1")
	})
}
