package fork

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// glueDir holds the files of ours in the folder of an engine line. Its
// underscore keeps the go command from compiling them as packages of this
// module: they belong to Moby's.
const glueDir = "_glue"

// Series is what makes an engine line of Moby Baleen's.
type Series struct {
	Patches []Patch           // in the order in which they apply
	Glue    map[string][]byte // files of ours, by path in Moby's tree
}

// Load reads the folder of an engine line: *.patch, by name, and the files
// below _glue, which there must be.
func Load(line fs.FS) (*Series, error) {
	if _, err := fs.Stat(line, glueDir); err != nil {
		return nil, fmt.Errorf("load series: %w", err)
	}
	names, err := fs.Glob(line, "*.patch") // sorted
	if err != nil {
		return nil, fmt.Errorf("load series: %w", err)
	}
	s := &Series{Glue: map[string][]byte{}}
	for _, name := range names {
		text, err := fs.ReadFile(line, name)
		if err != nil {
			return nil, fmt.Errorf("load series: %w", err)
		}
		p, err := Parse(name, text)
		if err != nil {
			return nil, err
		}
		s.Patches = append(s.Patches, p)
	}
	glue, err := fs.Sub(line, glueDir)
	if err != nil {
		return nil, fmt.Errorf("load series: %w", err)
	}
	return s, s.AddGlue(glue)
}

// AddGlue adds the files of ours in a folder, such as those that are the same for
// several lines. It returns an error if the series has one of them already.
func (s *Series) AddGlue(dir fs.FS) error {
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, ok := s.Glue[name]; ok {
			return &fs.PathError{Op: "add", Path: name, Err: fs.ErrExist}
		}
		s.Glue[name], err = fs.ReadFile(dir, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("load glue: %w", err)
	}
	return nil
}

// Files returns every file that differs from Moby's: the patched ones, made
// from the text that original returns for a path, and those of the glue. It
// returns an error if a patch does not fit or Moby has a file of the glue.
func (s *Series) Files(original func(path string) ([]byte, error)) (map[string][]byte, error) {
	t := tree{original: original, patched: map[string][]byte{}}
	for _, p := range s.Patches {
		if err := t.apply(p); err != nil {
			return nil, err
		}
	}
	for name, text := range s.Glue {
		if err := t.add(name); err != nil {
			return nil, err
		}
		t.patched[name] = text
	}
	return t.patched, nil
}

// Fit is what Check found of one patch, or of the glue.
type Fit struct {
	Name string // of the patch's file, or the path of a file of the glue that Moby has
	Err  error  // nil if it fits
}

// Check applies every patch to a tree and says of each whether it fits. A patch
// that does not fit is left out for those that follow. Files of the glue are
// listed if Moby has them.
func (s *Series) Check(original func(path string) ([]byte, error)) []Fit {
	t := tree{original: original, patched: map[string][]byte{}}
	var fits []Fit
	for _, p := range s.Patches {
		fits = append(fits, Fit{p.Name, t.apply(p)})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Glue)) {
		if err := t.add(name); err != nil {
			fits = append(fits, Fit{path.Join(glueDir, name), err})
		}
	}
	return fits
}

// tree is Moby's with some patches applied.
type tree struct {
	original func(path string) ([]byte, error)
	patched  map[string][]byte
}

func (t tree) read(name string) ([]byte, error) {
	if text, ok := t.patched[name]; ok {
		return text, nil
	}
	return t.original(name)
}

// apply applies a whole patch, or nothing of it.
func (t tree) apply(p Patch) error {
	files, err := p.Apply(t.read)
	if err != nil {
		return err
	}
	for name, text := range files {
		t.patched[name] = text
	}
	return nil
}

// add returns an error if a file of the glue is in the way of one of Moby's.
func (t tree) add(name string) error {
	if _, err := t.read(name); err == nil {
		return fmt.Errorf("add %s: Moby has a file of that name: %w", name, fs.ErrExist)
	}
	return nil
}
