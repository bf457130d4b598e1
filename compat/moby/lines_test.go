package moby_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"testing"
)

// Code that compiles against one line must compile against the others, so every line's
// file has the names of this module's.
func TestLinesHaveTheSameNames(t *testing.T) {
	want := exported(t, "engine28.go")
	if len(want) < 50 {
		t.Fatalf("engine28.go exports %d names only", len(want))
	}
	others, err := filepath.Glob("_*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	if len(others) == 0 {
		t.Fatal("there is no other line's file")
	}
	for _, file := range others {
		has := exported(t, file)
		for name, kind := range want {
			if has[name] != kind {
				t.Errorf("%s: %s is %q, and %q in engine28.go", file, name, has[name], kind)
			}
		}
		for name := range has {
			if _, ok := want[name]; !ok {
				t.Errorf("%s: engine28.go does not have %s", file, name)
			}
		}
	}
}

// exported returns what a file exports: for each name "type", "const" or "var", or a
// function's parameters and results.
func exported(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[d.Name.Name] = types.ExprString(d.Type)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names[spec.Name.Name] = d.Tok.String()
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names[name.Name] = d.Tok.String()
					}
				}
			}
		}
	}
	for name := range names {
		if !ast.IsExported(name) {
			delete(names, name)
		}
	}
	return names
}
