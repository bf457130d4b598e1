package commit_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestCompression: the daemon's option says how layers are packed, the query of
// a single commit says otherwise, and nonsense is refused.
func TestCompression(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"storage-opts": []string{"baleen.compression=zstd:3"}}}, "busybox")
	id := e.Run(t, "busybox", "echo x > /x")
	for query, mediaType := range map[string]string{
		"":                    ocispec.MediaTypeImageLayerZstd,
		"&compression=gzip":   ocispec.MediaTypeImageLayerGzip,
		"&compression=none":   ocispec.MediaTypeImageLayer,
		"&compression=gzip:9": ocispec.MediaTypeImageLayerGzip,
	} {
		status, body := e.Post(t, "/commit?container="+id+query)
		if status != http.StatusCreated {
			t.Errorf("commit%s: %d %s", query, status, body)
			continue
		}
		image, _, _ := strings.Cut(strings.TrimPrefix(body, `{"Id":"`), `"`)
		layers := e.Image(t, image).Manifest.Layers
		if got := layers[len(layers)-1].MediaType; got != mediaType {
			t.Errorf("commit%s made a layer of type %s", query, got)
		}
		if got := e.Must(t, "run", "--rm", image, "cat", "/x"); got != "x" {
			t.Errorf("commit%s made an image that holds %q", query, got)
		}
	}
	for _, bad := range []string{"lzma", "gzip:99", "none:1", "zstd:x"} {
		status, body := e.Post(t, "/commit?container="+id+"&compression="+url.QueryEscape(bad))
		if status != http.StatusBadRequest || !strings.Contains(body, bad) || !strings.Contains(body, "want gzip") {
			t.Errorf("compression %s: %d %s", bad, status, body)
		}
	}
}

// TestBadStorageOption: the daemon does not start with an option that it does
// not know, and says which are there.
func TestBadStorageOption(t *testing.T) {
	for _, opt := range []string{"baleen.compression=lzma", "baleen.compresion=gzip", "baleen.idmap=never", "baleen.max-layer-size=much", "baleen.max-layer-size=0", "baleen.max-layer-size=-1TiB"} {
		s, err := stack.Start(t.Context(), stack.Config{DockerdArgs: []string{"--storage-opt", opt}})
		if err == nil {
			t.Errorf("dockerd started with --storage-opt %s", opt)
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			continue
		}
		if !strings.Contains(err.Error(), opt) {
			t.Errorf("with --storage-opt %s dockerd says %v", opt, err)
		}
	}
}

// TestMetrics: a commit shows in dockerd's metrics and in its debug log.
func TestMetrics(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"metrics-addr": "127.0.0.1:9323", "debug": true}}, "busybox")
	id := e.Run(t, "busybox", "echo 12345 > /x")
	e.Must(t, "commit", id)
	metrics := e.Must(t, "run", "--rm", "--network", "host", "busybox", "wget", "-qO-", "http://127.0.0.1:9323/metrics")
	for _, want := range []string{
		`baleen_commit_phase_seconds_count{phase="look"} 1`,
		`baleen_commit_phase_seconds_count{phase="seal"} 1`,
		`baleen_commit_phase_seconds_count{phase="thaw"} 1`,
		`baleen_commit_phase_seconds_count{phase="ship"} 1`,
		`baleen_commit_phase_seconds_count{phase="publish"} 1`,
		"baleen_commit_changes_total 1\n",
		"baleen_commit_sealed_bytes_total 6\n",
		"baleen_commit_blob_bytes_total ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	log := e.LogTail(stack.Dockerd, 200)
	for _, want := range []string{"operation done", "operation=commit", "changes=1", "bytes=6", "look=", "seal=", "ship=", "publish=", "total="} {
		if !strings.Contains(log, want) {
			t.Errorf("the debug log lacks %q", want)
		}
	}
}
