package api_test

import (
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// openAPI is what the tests read of docs/api.yaml.
type openAPI struct {
	Paths map[string]map[string]struct {
		RequestBody message `yaml:"requestBody"`
		Responses   map[string]message
	}
	Components struct {
		Responses map[string]message
		Schemas   map[string]schema
	}
}

type message struct {
	Ref     string `yaml:"$ref"`
	Content map[string]struct{ Schema schema }
}

func (m message) schema() schema { return m.Content["application/json"].Schema }

type schema struct {
	Ref                  string `yaml:"$ref"`
	Type                 yaml.Node
	Format               string
	Items                *schema
	Properties           map[string]schema
	Required, Enum       []string
	AdditionalProperties *bool `yaml:"additionalProperties"`
	MaxLength            int   `yaml:"maxLength"`
	MaxItems             int   `yaml:"maxItems"`
	Maximum              int
}

// name is that of the message that a schema stands for, with [] for a list.
func (s schema) name() string {
	if s.Items != nil {
		return "[]" + s.Items.name()
	}
	return strings.TrimPrefix(s.Ref, "#/components/schemas/")
}

// kind is the type of a schema in one word, or two.
func (s schema) kind() string {
	switch {
	case s.Ref != "":
		return s.name()
	case s.Items != nil && s.Type.Kind == yaml.SequenceNode:
		return "[]" + s.Items.kind() + " or null"
	case s.Items != nil:
		return "[]" + s.Items.kind()
	}
	return strings.TrimSpace(s.Type.Value + " " + s.Format)
}

func document(t *testing.T) *openAPI {
	t.Helper()
	file, err := os.Open("../../docs/api.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var doc openAPI
	if err := yaml.NewDecoder(file).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return &doc
}
