package fork_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/compat/fork"
)

func TestEditNamesItsFileAndAnchor(t *testing.T) {
	edit := fork.Edit{Name: "paint-it", File: "door.go", Anchor: "green", With: "blue"}
	for _, tc := range []struct {
		name, text, want, err string
	}{
		{name: "once", text: "a green door", want: "a blue door"},
		{name: "missing", text: "a red door", err: "no anchor"},
		{name: "twice", text: "green green", err: "2 times"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := edit.Apply([]byte(tc.text))
			if tc.err == "" {
				if err != nil || string(got) != tc.want {
					t.Fatalf("got %q, %v", got, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("no error, text %q", got)
			}
			for _, part := range []string{tc.err, "paint-it", "door.go", `"green"`} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %s", err, part)
				}
			}
		})
	}
}

// moby is a tree in which every anchor stands once and the added files are not.
func moby(t *testing.T) func(string) ([]byte, error) {
	t.Helper()
	text := map[string]string{}
	for _, e := range fork.Edits {
		text[e.File] += e.Anchor + "\n"
	}
	return func(path string) ([]byte, error) {
		if s, ok := text[path]; ok {
			return []byte(s), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
}

func TestFilesHasEveryEditAndAddition(t *testing.T) {
	files, err := fork.Files(moby(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range fork.Edits {
		if !strings.Contains(string(files[e.File]), e.With) {
			t.Errorf("edit %s is not in %s", e.Name, e.File)
		}
	}
	for _, added := range []string{"daemon/baleen.go", "api/server/router/baleen/baleen.go"} {
		if len(files[added]) == 0 {
			t.Errorf("%s is missing", added)
		}
	}
}

func TestFilesRefusesATreeThatHasOurFile(t *testing.T) {
	original := moby(t)
	_, err := fork.Files(func(path string) ([]byte, error) {
		if path == "daemon/baleen.go" {
			return []byte("package daemon"), nil
		}
		return original(path)
	})
	if err == nil || !strings.Contains(err.Error(), "daemon/baleen.go") {
		t.Fatalf("want an error that names the file, got %v", err)
	}
}

func TestFilesRefusesATreeWithoutAnEditedFile(t *testing.T) {
	_, err := fork.Files(func(path string) ([]byte, error) { return nil, fs.ErrNotExist })
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), fork.Edits[0].Name) {
		t.Fatalf("want an error that names the edit, got %v", err)
	}
}
