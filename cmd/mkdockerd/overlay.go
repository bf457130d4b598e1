package main

import (
	"encoding/json"
	"path/filepath"

	"github.com/baleen-project/baleen/compat/engine"
)

// engineTypes has the file of each line with the engine's types, in package
// compat/moby. That of 28.5 is part of this module: the others take its place.
var engineTypes = map[engine.Line]string{
	engine.V28: "compat/moby/engine28.go",
	engine.V29: "compat/moby/_29/engine29.go",
}

// overlay is what the go command's -overlay reads.
type overlay struct {
	Replace map[string]string // absolute paths
}

// writeOverlay returns the file for the go command's -overlay: the caller's for stock,
// and for the fork one that puts the line's file of compat/moby in its place. It
// returns "" if nothing is replaced.
func (m *maker) writeOverlay() (string, error) {
	if m.stock || m.line == engine.V28 {
		return m.overlay, nil
	}
	text, err := json.Marshal(overlay{Replace: map[string]string{
		filepath.Join(m.root, engineTypes[engine.V28]): filepath.Join(m.root, engineTypes[m.line]),
	}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(m.build, "overlay.json")
	return path, write(path, text)
}
