package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/integration/bench/results"
)

func TestParse(t *testing.T) {
	t.Parallel()
	opts, err := parse([]string{"-quick", "-only", "w1, W3,", "-rounds", "2", "-json", "a", "-proxy"})
	if err != nil {
		t.Fatal(err)
	}
	if !opts.takesPart(results.Driver) || !opts.takesPart(results.Stock) || opts.takesPart(results.Podman) || !opts.quick || opts.rounds != 2 || opts.json != "a" || !slices.Equal(opts.only, []string{"W1", "W3"}) {
		t.Errorf("got %+v", opts)
	}
	if _, err := parse([]string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	for _, args := range [][]string{{"-only", "W10"}, {"more"}, {"-rounds", "many"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

func TestPlanIsThatOfTheIssue(t *testing.T) {
	t.Parallel()
	for _, quick := range []bool{false, true} {
		workloads := plan(quick)
		if ids := workloadIDs(workloads); strings.Join(ids, " ") != "W1 W2 W3 W4 W5 W6 W7 W8 W9" {
			t.Errorf("workloads are %v", ids)
		}
		seeds := map[uint64]string{}
		for _, w := range workloads {
			if w.moves > w.rounds || w.moves > 0 && (w.path == "" || w.containers*w.steps != 1) {
				t.Errorf("cannot be kept and moved: %+v", w)
			}
			if w.rounds == 0 || w.files == 0 || (w.change == nil) != (w.meta > 0 || w.layers > 0) {
				t.Errorf("incomplete: %+v", w)
			}
			for round := range w.rounds {
				for container := range w.containers {
					for step := range w.steps {
						key, seed := fmt.Sprint(w.id, w.files, round, container, step), w.seed(round, container, step)
						if other, taken := seeds[seed]; taken {
							t.Errorf("%s has the seed of %s", key, other)
						}
						seeds[seed] = key
					}
				}
			}
		}
	}
}

func TestDockerfileHasItsSteps(t *testing.T) {
	t.Parallel()
	for _, w := range []workload{{meta: 20, runs: 5}, {meta: 8, runs: 2}, {meta: 3, runs: 0}, {meta: 1, runs: 3}} {
		text := w.dockerfile("base", 42)
		runs := strings.Count(text, "\nRUN ")
		meta := strings.Count(text, "\nLABEL ") + strings.Count(text, "\nENV ")
		if runs != w.runs || meta != w.meta || !strings.HasPrefix(text, "FROM base\n") {
			t.Errorf("want %d metadata steps and %d RUN steps:\n%s", w.meta, w.runs, text)
		}
	}
}

// countFiles returns number and size of the files of a tar file.
func countFiles(t *testing.T, path string) (files int, size int64) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	names := map[string]bool{}
	in := tar.NewReader(file)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return len(names), size
		}
		if err != nil {
			t.Fatal(err)
		}
		names[header.Name] = true
		size += header.Size
	}
}

func TestSourceHasAsManyFilesAsWanted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "source.tar")
	t.Run("of Go", func(t *testing.T) {
		note, err := writeSource(t.Context(), path, source{files: 100})
		if err != nil {
			t.Fatal(err)
		}
		if files, _ := countFiles(t, path); files != 100 {
			t.Errorf("%d files; it says %s", files, note)
		}
	})
	t.Run("made up", func(t *testing.T) {
		t.Setenv("GOROOT", t.TempDir())
		t.Setenv("GOTOOLCHAIN", "local")
		tree, err := findSource(t.Context())
		if err != nil || len(tree) > 0 {
			t.Fatalf("%d files, %v", len(tree), err)
		}
		if _, err := writeSource(t.Context(), path, source{files: 200, bytes: 200_000}); err != nil {
			t.Fatal(err)
		}
		if files, size := countFiles(t, path); files != 200 || size < 150_000 || size > 250_000 {
			t.Errorf("%d files of %d bytes", files, size)
		}
	})
	t.Run("repeated", func(t *testing.T) {
		dir := t.TempDir()
		tree := []sourceFile{{path: filepath.Join(dir, "a"), name: "a"}, {path: filepath.Join(dir, "b"), name: "b"}}
		for _, file := range tree {
			if err := os.WriteFile(file.path, []byte(file.name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var packed bytes.Buffer
		out := tar.NewWriter(&packed)
		if _, err := packSource(t.Context(), out, tree, 5); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(out.Close(), os.WriteFile(path, packed.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
		if files, size := countFiles(t, path); files != 5 || size != 5 {
			t.Errorf("%d files of %d bytes", files, size)
		}
	})
}

func TestEngineReportsErrors(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /commit", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"message":"no room"}`)
	})
	mux.HandleFunc("POST /build", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"stream":"Step 1"}`)
		if r.URL.Query().Get("bad") != "" {
			fmt.Fprint(w, `{"error":"step failed"}`)
		}
	})
	mux.HandleFunc("POST /containers/c/snapshot", func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && string(body) == `{"Message":"x"}` && r.Header.Get("Content-Type") == typeJSON {
			fmt.Fprint(w, `{"Number":7}`)
		}
	})
	mux.HandleFunc("POST /containers/c/rollback", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"Status":"stopping the container"}{"Error":"not to be stopped"}`)
	})
	mux.HandleFunc("DELETE /images/", http.NotFound)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux}}
	server.Start()
	defer server.Close()

	e := newEngine("unix://" + socket)
	defer e.close()
	if _, err := e.timed(t.Context(), "POST", "/commit", nil); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("commit: %v", err)
	}
	body, err := buildContext("FROM scratch\n")
	if err != nil {
		t.Fatal(err)
	}
	if took, err := e.timed(t.Context(), "POST", "/build", body); err != nil || took <= 0 {
		t.Errorf("build: %v, %v", took, err)
	}
	if _, err := e.timed(t.Context(), "POST", "/build?bad=1", body); err == nil || !strings.Contains(err.Error(), "step failed") {
		t.Errorf("bad build: %v", err)
	}
	if _, err := e.post(t.Context(), "/commit", nil, nil); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "no room") {
		t.Errorf("a conflict: %v", err)
	}
	var answer struct{ Number int }
	if took, err := e.post(t.Context(), "/containers/c/snapshot", struct{ Message string }{"x"}, &answer); err != nil || took <= 0 || answer.Number != 7 {
		t.Errorf("snapshot: %v, %v, %+v", took, err, answer)
	}
	if _, err := e.follow(t.Context(), "/containers/c/rollback", nil); err == nil || !strings.Contains(err.Error(), "not to be stopped") {
		t.Errorf("a stream that ends in an error: %v", err)
	}
	if err := e.remove(t.Context(), "/images/none"); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
}

func TestTogetherTakesTheLongest(t *testing.T) {
	t.Parallel()
	took, err := together(3, func(i int) (time.Duration, error) { return time.Duration(i), nil })
	if took != 2 || err != nil {
		t.Errorf("got %v, %v", took, err)
	}
	if _, err := together(2, func(i int) (time.Duration, error) { return 0, context.DeadlineExceeded }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestKilledRunIsSweptAndALiveOneIsNot(t *testing.T) {
	parent := t.TempDir()
	t.Setenv(stackDirEnv, parent)
	live, err := claimPlace()
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(parent, placePrefix+"dead")
	if err := os.MkdirAll(filepath.Join(dead, "ext4", rootPrefix+"fork", "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, "xfs.img"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := sweep(parent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the killed run's folder: %v", err)
	}
	if _, err := os.Stat(live.dir); err != nil {
		t.Errorf("the live run's folder: %v", err)
	}
	if err := live.remove(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
