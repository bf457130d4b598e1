package main

import (
	"encoding/json"
	"fmt"
	"os"
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

// writeOverlay returns the file for the go command's -overlay: what the caller asks
// for, and in the fork the line's file of compat/moby. It returns "" if nothing is
// replaced.
func (m *maker) writeOverlay() (string, error) {
	if m.stock || m.line == engine.V28 {
		return m.overlay, nil
	}
	var o overlay
	path := filepath.Join(m.build, "overlay.json")
	if m.overlay != "" {
		text, err := os.ReadFile(m.overlay)
		if err != nil {
			return "", fmt.Errorf("read overlay: %w", err)
		}
		if err := json.Unmarshal(text, &o); err != nil {
			return "", fmt.Errorf("read overlay %s: %w", m.overlay, err)
		}
		path = m.overlay + ".fork" // of the caller's own, as others may run at the same time
	}
	if o.Replace == nil {
		o.Replace = map[string]string{}
	}
	o.Replace[filepath.Join(m.root, engineTypes[engine.V28])] = filepath.Join(m.root, engineTypes[m.line])
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	return path, write(path, text)
}
