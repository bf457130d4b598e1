package fidelity

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// withBallast adds a file to what a case does that makes a container worth sealing.
func (l *Lab) withBallast(c Case) Case {
	c.Script = "yes | head -c 17m > /ballast\n" + c.Script
	c.Empty = false
	if c.Diff != nil {
		c.Diff = append(slices.Clone(c.Diff), "A /ballast")
	}
	return c
}

// againScript changes a container once more, whatever it has been through: files
// of before are written, moved and removed.
const againScript = `echo more >> /ballast; chmod 640 /ballast; rm -f /img/other
mv /img/new /img/renamed 2>/dev/null || :; mv /img/dir /img/moved-dir 2>/dev/null || :
for f in /img/l* /img/a* /img/big /img/file /img/hard/x; do
	if test -f "$f" && test ! -L "$f"; then echo more >> "$f"; fi
done`

// tryAgain changes and commits a container that has been committed. The first image
// must be what it was.
func (l *Lab) tryAgain(ctx context.Context, id, first string, c Case, v *Verdict) error {
	sealed, err := l.sealedLayers(ctx, id)
	if err != nil {
		return err
	}
	c.Script, c.Diff = againScript, nil
	again, image, err := l.try(ctx, id, c)
	if err != nil || image == "" {
		return errors.Join(err, again.Image)
	}
	now, err := l.sealedLayers(ctx, id)
	if err != nil {
		return err
	}
	if sealed != 1 || now != 2 {
		err = fmt.Errorf("after its commits the container had %d and %d sealed layers", sealed, now)
	}
	v.Image = errors.Join(v.Image, again.Image, err, l.Check(ctx, "", first, "", c))
	_, err = l.Call(ctx, "", "rmi", image)
	return err
}

// sealedLayers counts those of a container.
func (l *Lab) sealedLayers(ctx context.Context, id string) (n int, _ error) {
	ctx, sn := l.moby(ctx), l.client.SnapshotService(l.mode.snapshotter())
	for at := id; ; n++ {
		info, err := sn.Stat(ctx, at)
		if err != nil {
			return 0, err
		}
		if info.Parent == id+"-init" {
			return n, nil
		}
		at = info.Parent
	}
}
