package fork_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Glue converts, calls and returns: it lives where no tool but the compiler looks. What
// must not be in it is counted.
const (
	mostLines   = 500
	mostLoops   = 0
	mostGo      = 0
	mostComplex = 0 // functions of a cyclomatic complexity over maxComplexity

	maxComplexity = 3
)

// tally is what was found in files of glue, by place.
type tally struct {
	lines                  int
	loops, starts, complex []string
}

func TestGlueHasNoLogic(t *testing.T) {
	lines, err := filepath.Glob("*/_glue")
	if err != nil || len(lines) == 0 {
		t.Fatalf("no engine line: %v", err)
	}
	for _, line := range lines {
		t.Run(filepath.Dir(line), func(t *testing.T) {
			var found tally
			for _, dir := range []string{line, "_glue"} { // the second one is of all lines
				found.add(t, dir)
			}
			t.Logf("%d lines, %d loops, %d go statements, %d complex functions", found.lines, len(found.loops), len(found.starts), len(found.complex))
			if found.lines > mostLines {
				t.Errorf("%d lines of glue, the limit is %d", found.lines, mostLines)
			}
			for _, kind := range []struct {
				name  string
				found []string
				most  int
			}{
				{"loops", found.loops, mostLoops}, {"go statements", found.starts, mostGo}, {"complex functions", found.complex, mostComplex},
			} {
				if len(kind.found) > kind.most {
					t.Errorf("%d %s in the glue, the limit is %d:\n\t%s", len(kind.found), kind.name, kind.most, strings.Join(kind.found, "\n\t"))
				}
			}
		})
	}
}

// add adds what is in the files of a folder, if there is one.
func (found *tally) add(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if filepath.Ext(name) != ".go" {
			return fmt.Errorf("%s is no Go file", name)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		found.lines += bytes.Count(text, []byte("\n"))
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found.inspect(file, func(n ast.Node) string { return files.Position(n.Pos()).String() })
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func (found *tally) inspect(file *ast.File, place func(ast.Node) string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ForStmt, *ast.RangeStmt:
			found.loops = append(found.loops, place(n))
		case *ast.GoStmt:
			found.starts = append(found.starts, place(n))
		case *ast.FuncDecl:
			if complexity(n) > maxComplexity {
				found.complex = append(found.complex, place(n)+" "+n.Name.Name)
			}
		}
		return true
	})
}

// complexity is the number of ways through a function, functions in it included: one, and
// one more for each branch, loop, case and operand that may be skipped.
func complexity(f *ast.FuncDecl) int {
	n := 1
	ast.Inspect(f, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			n += min(len(node.List), 1) // a default is no branch
		case *ast.CommClause:
			if node.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if node.Op == token.LAND || node.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

func TestComplexity(t *testing.T) {
	for text, want := range map[string]int{
		"":                        1,
		"if a {}":                 2,
		"if a && b || c {}":       4,
		"for range a { if b {} }": 3,
		"switch a { case 1, 2: case 3: default: }": 3,
		"select { case <-a: default: }":            2,
		"f(func() { if a {} })":                    2,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "f.go", "package p\nfunc f() {"+text+"\n}", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := complexity(file.Decls[0].(*ast.FuncDecl)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
