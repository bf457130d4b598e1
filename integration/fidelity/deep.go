package fidelity

import (
	"archive/tar"
	"fmt"
)

// DeepLayers returns the tar streams of six layers, to stand on busybox, each of which
// changes what those below it have: whiteouts, opaque directories, one above the other,
// hard links, files that become directories and return, other owners, modes and
// attributes. Ids are below 65,536.
func DeepLayers() ([][]byte, error) {
	var tars [][]byte
	for i, l := range []*layer{
		firstLayer(60_000), secondLayer(true), fillerLayer(3), returningLayer(), fillerLayer(5), removingLayer(),
	} {
		text, err := l.bytes()
		if err != nil {
			return nil, fmt.Errorf("write layer %d: %w", i, err)
		}
		tars = append(tars, text)
	}
	return tars, nil
}

// returningLayer brings back what the second one deleted, and deletes other things.
func returningLayer() *layer {
	return newLayer().dirs(0o755, "img", "img/full", "img/hidden", "img/pair").
		add(tar.Header{Typeflag: tar.TypeDir, Name: "img/sticky/", Mode: 0o2711, Uid: 5, Gid: 6}, "").
		gone("img", "setuid", "moved", "dirlink").gone("img/full", "07", "10").
		files(0o600, "img/full/08", "eight\n", "img/turned", "a file again\n").
		files(0, "img/hidden/.wh..wh..opq", "").files(0o644, "img/hidden/newer", "newer\n", "img/pair/a", "pair\n").
		links(tar.TypeSymlink, "img/gone", "file").links(tar.TypeLink, "img/pair/b", "img/pair/a").
		tagged(0o4711, "img/tagged", "tagged anew\n", "user.tag", "above").
		add(tar.Header{Typeflag: tar.TypeReg, Name: "img/capable", Mode: 0o755, Uid: 7, Gid: 8}, "not capable\n")
}

// removingLayer removes a directory of three layers, and makes one that was removed.
func removingLayer() *layer {
	return newLayer().dirs(0o755, "img").dirs(0o700, "img/moved", "img/pair").
		gone("img", "hidden", "turned").gone("img/pair", "a").
		files(0o644, "img/moved/three", "three\n").
		links(tar.TypeLink, "img/moved/four", "img/moved/three")
}
