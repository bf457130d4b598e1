package revisions

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/compose"
	"github.com/baleen-project/baleen/compat/printable"
	"github.com/baleen-project/baleen/containerstore/baseimage"
)

// digestsOf returns the digests of the image of a state.
func digestsOf(st State, img baseimage.Image) compat.ImageDigests {
	d := compat.ImageDigests{ID: digest.Digest(st.ImageID), Config: img.Manifest.Config.Digest}
	if st.Manifest != nil {
		d.Manifest = st.Manifest.Digest
	}
	return d
}

// warnOfCompose adds a warning to the plan if `docker compose up` would then make the
// container anew: that removes it, and with it what it wrote and its revisions. Containers
// of `docker compose run` are left alone by it.
func (m *Move) warnOfCompose(ctx context.Context) {
	c := m.State.Config
	has := c.Labels[compose.LabelImage]
	if has == "" || c.Labels[compose.LabelOneoff] == "True" {
		return
	}
	name := compose.ImageName(c.Labels, c.Image)
	names := printable.Line(name) + ", the image of the service in its compose file, "
	st, img, err := m.s.resolve(ctx, name, m.State.Platform)
	switch {
	case errdefs.IsNotFound(err):
		names += "is not there"
	case err != nil:
		log.G(ctx).WithError(err).WithField("container", m.ctr.ID).Warn("could not tell whether docker compose up would make a container anew")
		return
	case digestsOf(st, img).Has(has):
		return
	default:
		names += "is " + shortDigest(digest.Digest(st.ImageID))
	}
	m.warn(fmt.Sprintf(
		"docker compose up would replace the container, and remove its files and revisions: %s, and the container is to stand on %[2]s. To keep the container: docker tag %[2]s %[3]s, or docker compose up --no-recreate",
		names, shortDigest(digest.Digest(m.State.ImageID)), printable.Shell(name)))
}

// shortDigest is a digest as docker images shows it.
func shortDigest(d digest.Digest) string {
	const digits = 12
	hex := strings.TrimPrefix(d.String(), "sha256:")
	return hex[:min(len(hex), digits)]
}
