package main

import (
	_ "embed"
	"io"
	"text/template"
)

//go:embed containerd.toml.tmpl
var configText string

var configTemplate = template.Must(template.New("containerd.toml").Parse(configText))

// writeConfig prints what containerd's configuration needs for this daemon.
func (o options) writeConfig(w io.Writer) error {
	return configTemplate.Execute(w, map[string]string{"Root": o.root, "Address": o.address})
}
