package fork_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/baleen-project/baleen/compat/fork"
)

// patch is a patch of door.go with these hunks.
func patch(hunks string) string {
	return "From 0 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] door: paint it\n\nIt was green.\n---\n" +
		"diff --git a/door.go b/door.go\n--- a/door.go\n+++ b/door.go\n" + hunks
}

func parse(t *testing.T, text string) fork.Patch {
	t.Helper()
	p, err := fork.Parse("0001-door.patch", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reader returns a function that reads files from a map.
func reader(files map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if s, ok := files[name]; ok {
			return []byte(s), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
}

func TestHunkAppliesWhereItsOldLinesStandOnce(t *testing.T) {
	const two = "@@ -1,2 +1,2 @@\n-green\n+blue\n door\n"
	for _, tc := range []struct {
		name, hunks, text, want, err string
	}{
		{name: "at its line", hunks: two, text: "green\ndoor\n", want: "blue\ndoor\n"},
		{name: "elsewhere", hunks: two, text: "a\nb\nc\ngreen\ndoor\nd\n", want: "a\nb\nc\nblue\ndoor\nd\n"},
		{name: "one of the lines twice", hunks: two, text: "green\ngreen\ndoor\n", want: "green\nblue\ndoor\n"},
		{name: "part of a line", hunks: two, text: "light green\ndoor\n", err: "does not have its old lines"},
		{name: "in two parts", hunks: two, text: "green\nold\ndoor\n", err: "does not have its old lines"},
		{name: "a line is gone", hunks: two, text: "door\n", err: `this one is nowhere in it: "green"`},
		{name: "no line feed at the end", hunks: two, text: "green\ndoor", err: "does not have its old lines"},
		{name: "twice", hunks: two, text: "green\ndoor\nx\ngreen\ndoor\n", err: "2 times, at lines 1, 4"},
		{name: "twice, one over the other", hunks: "@@ -1,3 +1,1 @@\n-a\n-b\n a\n", text: "a\nb\na\nb\na\n", err: "2 times, at lines 1, 3"},
		{name: "many times", hunks: two, text: strings.Repeat("green\ndoor\n", 9), err: "at lines 1, 3, 5, 7, 9, …"},
		{name: "the second on what the first left", hunks: "@@ -1 +1 @@\n-green\n+blue\n@@ -2 +2 @@\n-blue\n+red\n", text: "green\n", want: "red\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(t, patch(tc.hunks)).Apply(reader(map[string]string{"door.go": tc.text}))
			if tc.err == "" {
				if err != nil || string(got["door.go"]) != tc.want {
					t.Fatalf("got %q, %v", got, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("no error, text %q", got)
			}
			for _, part := range []string{tc.err, "0001-door.patch", "hunk 1 of door.go"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %s", err, part)
				}
			}
		})
	}
}

func TestParseReadsWhatGitWrites(t *testing.T) {
	p := parse(t, `From 3f2a Mon Sep 17 00:00:00 2001
From: Somebody <a@b>
Date: Sat, 28 Nov 2026 07:00:00 +0000
Subject: [PATCH] door: paint it in a colour that takes more than one line of a
 mail

It was green.

It was: never blue.
---
 door.go | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/door.go b/door.go
index 123..456 100644
--- a/door.go
+++ b/door.go
@@ -3 +3 @@ func paint() {
-green
+blue
`)
	want := fork.Patch{
		Name:    "0001-door.patch",
		Subject: "door: paint it in a colour that takes more than one line of a mail",
		Body:    "It was green.\n\nIt was: never blue.\n",
		Files: []fork.FileDiff{{Path: "door.go", Hunks: []fork.Hunk{{
			OldLine: 3, NewLine: 3, Section: "func paint() {", Lines: []fork.Line{{'-', "green"}, {'+', "blue"}},
		}}}},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v", p)
	}
	if again := parse(t, string(p.Format())); !reflect.DeepEqual(again, p) {
		t.Errorf("what Format wrote is read as %+v", again)
	}
}

func TestParseRefuses(t *testing.T) {
	const hunk = "@@ -1 +1 @@\n-a\n+b\n"
	whole := patch(hunk)
	file := "diff --git a/door.go b/door.go\n--- a/door.go\n+++ b/door.go\n"
	for _, tc := range []struct{ name, text, err string }{
		{"nothing", "", "line feed"},
		{"no subject", strings.Replace(whole, "Subject:", "Object:", 1), "no subject"},
		{"no change", strings.Split(whole, "diff")[0], "changes no file"},
		{"no end", strings.TrimSuffix(whole, "\n"), "line feed"},
		{"no hunk", patch(""), "no hunk for door.go"},
		{"a file twice", whole + file + hunk, "twice"},
		{"a new file", strings.Replace(whole, "--- a/door.go", "new file mode 100644\n--- /dev/null", 1), "only changes of text"},
		{"a deleted file", strings.Replace(whole, "+++ b/door.go", "+++ /dev/null", 1), "names of door.go in its three lines differ"},
		{"a renamed file", strings.Replace(whole, "+++ b/door.go", "+++ b/gate.go", 1), "names of door.go in its three lines differ"},
		{"another mode", strings.Replace(whole, "--- a/", "old mode 100644\nnew mode 100755\n--- a/", 1), "only changes of text"},
		{"something binary", patch("GIT binary patch\n"), "no hunk for door.go"},
		{"a path out of the tree", strings.ReplaceAll(whole, "door.go", "../door.go"), "not a path within a tree"},
		{"an absolute path", strings.ReplaceAll(whole, "door.go", "/etc/door.go"), "not a path within a tree"},
		{"a quoted path", strings.ReplaceAll(whole, "door.go", `d\303.go`), "not a path within a tree"},
		{"too few lines", patch("@@ -1,2 +1,2 @@\n-a\n+b\n"), "fewer lines"},
		{"too many lines", whole + " c\n", "want a file's changes"},
		{"more removed than said", patch("@@ -1,1 +1,2 @@\n-a\n-b\n+c\n+d\n"), "more lines"},
		{"no change in a hunk", patch("@@ -1 +1 @@\n a\n"), "changes nothing"},
		{"no old lines", patch("@@ -0,0 +1 @@\n+a\n"), "no old lines"},
		{"no line feed at the end", patch(hunk + "\\ No newline at end of file\n"), "no line feed"},
		{"another kind of line", patch("@@ -1 +1 @@\n-a\n*b\n"), `begins with '*'`},
		{"an empty line", patch("@@ -1,2 +1,2 @@\n-a\n+b\n\n"), "fewer lines"},
		{"a head that is none", patch("@@ -1 +1\n-a\n+b\n"), "want \"@@"},
		{"a negative count", patch("@@ -1,-1 +1 @@\n+b\n"), "want \"@@"},
		{"a huge count", patch("@@ -1,99999999999 +1 @@\n+b\n"), "want \"@@"},
		{"a huge patch", strings.Repeat("x\n", 1<<20), "bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := fork.Parse("0001-door.patch", []byte(tc.text))
			if err == nil {
				t.Fatalf("no error, patch %+v", p)
			}
			if !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), "0001-door.patch") {
				t.Errorf("error %q does not say %q and the patch", err, tc.err)
			}
		})
	}
}

func TestNarrowLeavesTheContextThatIsNeeded(t *testing.T) {
	for _, tc := range []struct{ name, text, hunks, want, makes string }{
		{
			name:  "replaced",
			text:  "func f() {\n\ta\n\tb\n\tc\n}\n",
			hunks: "@@ -1,5 +1,5 @@\n func f() {\n \ta\n-\tb\n+\tB\n \tc\n }\n",
			want:  "@@ -3,2 +3,2 @@ func f() {\n-\tb\n+\tB\n \tc\n",
			makes: "func f() {\n\ta\n\tB\n\tc\n}\n",
		},
		{
			name:  "put before a line",
			text:  "a\nb\nc\n",
			hunks: "@@ -1,3 +1,4 @@\n a\n+new\n b\n c\n",
			want:  "@@ -2,1 +2,2 @@ a\n+new\n b\n",
			makes: "a\nnew\nb\nc\n",
		},
		{
			name:  "before a line that stands twice",
			text:  "x\n}\ny\n}\n",
			hunks: "@@ -3,2 +3,3 @@\n y\n+new\n }\n",
			want:  "@@ -3,2 +3,3 @@ x\n y\n+new\n }\n",
			makes: "x\n}\ny\nnew\n}\n",
		},
		{
			name:  "behind the last line",
			text:  "a\nb\n",
			hunks: "@@ -1,2 +1,3 @@\n a\n b\n+new\n",
			want:  "@@ -2,1 +2,2 @@ a\n b\n+new\n",
			makes: "a\nb\nnew\n",
		},
		{
			name:  "two, the first of which makes the file longer",
			text:  "a\nb\nc\nd\ne\nf\n",
			hunks: "@@ -1,2 +1,4 @@\n-a\n+1\n+2\n+3\n b\n@@ -5,2 +7,2 @@\n-e\n+E\n f\n",
			want:  "@@ -1,2 +1,4 @@\n-a\n+1\n+2\n+3\n b\n@@ -5,2 +7,2 @@ d\n-e\n+E\n f\n",
			makes: "1\n2\n3\nb\nc\nd\nE\nf\n",
		},
		{
			name:  "ambiguous only by what another hunk adds",
			text:  "a\nb\nc\nd\nq\n",
			hunks: "@@ -1,2 +1,4 @@\n a\n+d\n+q\n b\n@@ -4,2 +6,2 @@\n-d\n+D\n q\n",
			want:  "@@ -2,1 +2,3 @@ a\n+d\n+q\n b\n@@ -3,3 +5,3 @@ b\n c\n-d\n+D\n q\n",
			makes: "a\nd\nq\nb\nc\nD\nq\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			read := reader(map[string]string{"door.go": tc.text})
			narrow, err := parse(t, patch(tc.hunks)).Narrow(read)
			if err != nil {
				t.Fatal(err)
			}
			if _, got, _ := strings.Cut(string(narrow.Format()), "+++ b/door.go\n"); got != tc.want {
				t.Errorf("got\n%s", got)
			}
			if got, err := narrow.Apply(read); err != nil || string(got["door.go"]) != tc.makes {
				t.Errorf("makes %q, %v", got, err)
			}
		})
	}
}

func TestNarrowRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, hunks string }{
		{"what can be told apart by nothing", strings.Repeat("a\n", 100), "@@ -50,2 +50,2 @@\n-a\n+b\n a\n"},
		{"line numbers of another file", "x\na\nb\n", "@@ -1,2 +1,2 @@\n-a\n+A\n b\n"},
		{"a hunk over another", "a\nb\nc\n", "@@ -1,2 +1,2 @@\n-a\n-b\n+A\n+B\n@@ -2 +2 @@\n-b\n+c\n"},
		{"a line behind the end", "a\n", "@@ -7 +7 @@\n-a\n+b\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := parse(t, patch(tc.hunks)).Narrow(reader(map[string]string{"door.go": tc.text}))
			if err == nil || !strings.Contains(err.Error(), "of door.go") {
				t.Errorf("got %v, patch\n%s", err, p.Format())
			}
		})
	}
}

// line is an engine line with two patches and a file of ours.
func line() fstest.MapFS {
	second := strings.ReplaceAll(patch("@@ -1 +1 @@\n-blue\n+red\n"), "[PATCH] door", "[PATCH] again")
	return fstest.MapFS{
		"0001-blue.patch":       {Data: []byte(patch("@@ -1 +1 @@\n-green\n+blue\n"))},
		"0002-red.patch":        {Data: []byte(second)},
		"_glue/house/baleen.go": {Data: []byte("package house\n")},
	}
}

func load(t *testing.T, line fs.FS) *fork.Series {
	t.Helper()
	s, err := fork.Load(line)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFilesHasEveryPatchAndAddition(t *testing.T) {
	files, err := load(t, line()).Files(reader(map[string]string{"door.go": "green\n"}))
	want := map[string][]byte{"door.go": []byte("red\n"), "house/baleen.go": []byte("package house\n")}
	if err != nil || !reflect.DeepEqual(files, want) {
		t.Errorf("got %q, %v", files, err)
	}
}

func TestGlueOfAllLines(t *testing.T) {
	s := load(t, line())
	if err := s.AddGlue(fstest.MapFS{"house/shared.go": {Data: []byte("package house\n")}}); err != nil {
		t.Fatal(err)
	}
	files, err := s.Files(reader(map[string]string{"door.go": "green\n"}))
	if err != nil || len(files) != 3 || string(files["house/shared.go"]) != "package house\n" {
		t.Errorf("got %q, %v", files, err)
	}
	if err := s.AddGlue(fstest.MapFS{"house/baleen.go": {}}); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "house/baleen.go") {
		t.Errorf("a file that the line has, too: %v", err)
	}
}

func TestFilesRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		is    error
		err   string
	}{
		{"a tree that has our file", map[string]string{"door.go": "green\n", "house/baleen.go": ""}, fs.ErrExist, "house/baleen.go"},
		{"a tree without a patched file", nil, fs.ErrNotExist, "0001-blue.patch"},
		{"a tree that the second does not fit", map[string]string{"door.go": "green\nblue\n"}, nil, "0002-red.patch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(t, line()).Files(reader(tc.files))
			if err == nil || !strings.Contains(err.Error(), tc.err) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCheckSaysOfEachPatchWhetherItFits(t *testing.T) {
	fits := load(t, line()).Check(reader(map[string]string{"door.go": "blue\n", "house/baleen.go": ""}))
	var got []string
	for _, f := range fits {
		got = append(got, fmt.Sprint(f.Name, " ", f.Err == nil))
	}
	want := []string{"0001-blue.patch false", "0002-red.patch true", "_glue/house/baleen.go false"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestLoadRefusesAFolderThatIsNoLine(t *testing.T) {
	if _, err := fork.Load(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	bad := line()
	bad["0003-bad.patch"] = &fstest.MapFile{Data: []byte("no patch\n")}
	if _, err := fork.Load(bad); err == nil || !strings.Contains(err.Error(), "0003-bad.patch") {
		t.Errorf("got %v", err)
	}
}

// Patches that a person wrote by hand are still as -refresh writes them.
func TestSeriesIsInItsCanonicalForm(t *testing.T) {
	names, err := filepath.Glob("*/*.patch")
	if err != nil || len(names) == 0 {
		t.Fatalf("there is no series: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := fork.Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		if p.Body == "" || len(p.Subject) > 72 {
			t.Errorf("%s: a patch has a subject of at most 72 characters and a reason", name)
		}
		if !bytes.Equal(p.Format(), text) {
			t.Errorf("%s is not as Format writes it", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("*/*.patch")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, text)
	}
	f.Add([]byte(patch("@@ -1,3 +1,1 @@\n-a\n-b\n a\n")), []byte("a\nb\na\nb\na\n"))
	f.Fuzz(func(t *testing.T, text, file []byte) {
		p, err := fork.Parse("x", text)
		if err != nil {
			return
		}
		again, err := fork.Parse("x", p.Format())
		if err != nil {
			t.Fatalf("what Format writes cannot be read: %v\n%s", err, p.Format())
		}
		if !bytes.Equal(again.Format(), p.Format()) {
			t.Fatalf("read again and written it differs:\n%s\n%s", p.Format(), again.Format())
		}
		read := func(string) ([]byte, error) { return file, nil }
		want, err := p.Apply(read)
		if err != nil {
			return
		}
		narrow, err := p.Narrow(read)
		if err != nil {
			return // its line numbers are of another file
		}
		got, err := narrow.Apply(read)
		if err != nil {
			t.Fatalf("a narrowed patch does not apply: %v\n%s", err, narrow.Format())
		}
		for path := range want {
			if !bytes.Equal(got[path], want[path]) {
				t.Fatalf("%s: %q, narrowed %q", path, want[path], got[path])
			}
		}
	})
}
