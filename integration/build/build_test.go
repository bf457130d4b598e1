package build_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/baleen-project/baleen/integration/harness"
	"github.com/baleen-project/baleen/integration/stack"
)

// TestClassicBuild builds with the classic builder, whose steps are commits.
func TestClassicBuild(t *testing.T) {
	e := harness.Start(t, stack.Config{DaemonConfig: map[string]any{"experimental": true}}, "busybox")
	for name, test := range map[string]func(*testing.T, *harness.Env){
		"steps":       buildSteps,
		"cache":       buildCache,
		"stages":      buildStages,
		"failed step": buildFails,
		"squash":      buildSquash,
	} {
		t.Run(name, func(t *testing.T) {
			before := e.State(t)
			test(t, e)
			e.LeftOnlyImages(t, before)
			if left := e.Must(t, "ps", "-aq"); left != "" {
				t.Errorf("containers are left: %s", left)
			}
		})
	}
}

func buildSteps(t *testing.T, e *harness.Env) {
	out, err := e.Build(t, `FROM busybox
LABEL stage=one
ENV NAME=whale
RUN echo $NAME > /name && rm /etc/group
COPY file /copied
USER 7
RUN id -u > /tmp/id
CMD cat /name /copied /tmp/id
`, "-t", "steps")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := e.Must(t, "run", "--rm", "steps"); got != "whale\nfrom the context\n7" {
		t.Errorf("the image prints %q", got)
	}
	img := e.Image(t, e.Inspect(t, "steps", "{{.Id}}"))
	if n := len(img.Manifest.Layers); n != 4 { // the base's, two RUNs, COPY
		t.Errorf("the image has %d layers", n)
	}
	var empty int
	for _, h := range img.Config.History {
		if h.EmptyLayer {
			empty++
		}
	}
	if empty != 4 { // LABEL, ENV, USER, CMD
		t.Errorf("%d history entries are empty: %+v", empty, img.Config.History)
	}
	if img.Config.Config.Labels["stage"] != "one" || img.Config.Config.User != "7" {
		t.Errorf("the config is %+v", img.Config.Config)
	}
}

func buildCache(t *testing.T, e *harness.Env) {
	const dockerfile = "FROM busybox\nLABEL cached=yes\nRUN echo cached > /cached\nCOPY file /copied\nCMD [\"cat\", \"/cached\"]\n"
	first, err := e.Build(t, dockerfile, "-t", "cached:1")
	if err != nil {
		t.Fatalf("%v\n%s", err, first)
	}
	if strings.Contains(first, "Using cache") {
		t.Errorf("the first build used a cache:\n%s", first)
	}
	second, err := e.Build(t, dockerfile, "-t", "cached:2")
	if err != nil {
		t.Fatalf("%v\n%s", err, second)
	}
	if n := strings.Count(second, "Using cache"); n != 4 {
		t.Errorf("%d of 4 steps were cached:\n%s", n, second)
	}
	if a, b := e.Inspect(t, "cached:1", "{{.Id}}"), e.Inspect(t, "cached:2", "{{.Id}}"); a != b {
		t.Errorf("the cached build made image %s, the first %s", b, a)
	}
}

func buildStages(t *testing.T, e *harness.Env) {
	out, err := e.Build(t, `FROM busybox AS maker
RUN mkdir /out && echo made > /out/thing && ln -s thing /out/link
FROM busybox
COPY --from=maker /out /in
RUN cat /in/link > /result
`, "-t", "stages")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := e.Must(t, "run", "--rm", "stages", "cat", "/result"); got != "made" {
		t.Errorf("the result is %q", got)
	}
}

func buildFails(t *testing.T, e *harness.Env) {
	out, err := e.Build(t, "FROM busybox\nRUN echo kept > /kept\nRUN exit 3\n", "--force-rm")
	if err == nil || !strings.Contains(out, "returned a non-zero code: 3") {
		t.Errorf("got %v\n%s", err, out)
	}
}

func buildSquash(t *testing.T, e *harness.Env) {
	out, err := e.Build(t, `FROM busybox
RUN echo big > /big && echo kept > /kept && mkdir /dir && echo 1 > /dir/1
RUN rm /big /etc/group && rm -r /dir && mkdir /dir && echo 2 > /dir/2
LABEL squashed=yes
COPY file /copied
`, "--squash", "-t", "squashed")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	base, img := e.Image(t, e.Inspect(t, "busybox", "{{.Id}}")), e.Image(t, e.Inspect(t, "squashed", "{{.Id}}"))
	if len(img.Manifest.Layers) != len(base.Manifest.Layers)+1 {
		t.Errorf("the image has layers %v", img.Manifest.Layers)
	}
	if got := e.Must(t, "run", "--rm", "squashed", "sh", "-c", "cat /kept /copied; ls /dir; ls /big /etc/group 2>/dev/null || true"); got != "kept\nfrom the context\n2" {
		t.Errorf("the image holds %q", got)
	}
	last := img.Config.History[len(img.Config.History)-1]
	if !strings.HasPrefix(last.Comment, "merge sha256:") || img.Config.Config.Labels["squashed"] != "yes" {
		t.Errorf("the history ends with %+v, the config is %+v", last, img.Config.Config)
	}
	// Nothing of what was deleted is in the new layer.
	e.WithView(t, harness.ChainOf(img), func(mounts []mount.Mount) {
		for _, name := range []string{"big", "dir/1"} {
			if _, err := os.Lstat(filepath.Join(harness.TopLayer(t, mounts), name)); err == nil {
				t.Errorf("the layer holds %s", name)
			}
		}
	})
}
