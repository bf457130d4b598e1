package main

import (
	_ "embed"
	"io"
	"strings"
	"text/template"

	"github.com/baleen-project/baleen/snapshotter/overlay"
)

//go:embed containerd.toml.tmpl
var configText string

var configTemplate = template.Must(template.New("containerd.toml").Parse(configText))

// writeConfig prints what containerd's configuration needs for this daemon.
func (o options) writeConfig(w io.Writer) error {
	if err := overlay.CheckOwn(o.root); err != nil {
		return err
	}
	values := map[string]any{"Root": o.root, "Address": o.address, "DifferForAll": o.differForAll}
	capabilities, err := overlay.CapabilitiesAt(o.root)
	if err != nil {
		values["Unmapped"] = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	if len(capabilities) > 0 {
		values["Capabilities"] = `["` + strings.Join(capabilities, `", "`) + `"]`
	}
	return configTemplate.Execute(w, values)
}
