package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/log"
)

// Report says where records and folders do not agree. The zero value is what it
// should be.
type Report struct {
	// Missing are snapshots whose files are not there.
	Missing []Missing
	// Leftover are names of folders without a record. The next New deletes
	// them.
	Leftover []string
	// Strange are names beside the folders that no snapshotter gave. They are
	// left alone.
	Strange []string
}

// Missing is a snapshot of which there is only the record. Whether it can be
// removed its owner must say.
type Missing struct {
	Key    string
	Kind   snapshots.Kind
	Folder string // where its files should be
}

// Check compares all records with all folders. Meanwhile no snapshot is made or
// removed.
func (s *Snapshotter) Check(ctx context.Context) (Report, error) {
	s.names.Lock()
	defer s.names.Unlock()
	f, err := s.survey(ctx)
	if err == nil {
		err = s.read(ctx, func(tx context.Context) error { return s.lookInto(tx, &f) })
	}
	if err != nil {
		return Report{}, fmt.Errorf("check snapshots: %w", err)
	}
	return f.Report, nil
}

// findings are a Report and what the next start would see besides.
type findings struct {
	Report
	unnamed []string // folders that are being made or deleted
	ids     map[string]string
}

func (s *Snapshotter) survey(ctx context.Context) (f findings, err error) {
	names, err := readNames(s.folders())
	if err != nil {
		return f, err
	}
	err = s.read(ctx, func(tx context.Context) error {
		if f.ids, err = storage.IDMap(tx); err != nil && !isUnused(err) {
			return err
		}
		f.sort(names)
		f.Missing, err = s.missing(tx, f.ids, names)
		return err
	})
	return f, err
}

// sort tells the names apart that no record has.
func (f *findings) sort(names []string) {
	for _, name := range names {
		switch {
		case f.ids[name] != "":
		case strings.HasPrefix(name, newPrefix), strings.HasPrefix(name, trashPrefix):
			f.unnamed = append(f.unnamed, name)
		case isID(name):
			f.Leftover = append(f.Leftover, name)
		default:
			f.Strange = append(f.Strange, name)
		}
	}
}

// missing looks for records without a folder. A view on something needs none.
func (s *Snapshotter) missing(tx context.Context, ids map[string]string, names []string) (missing []Missing, err error) {
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	for id, key := range ids {
		if there[id] {
			continue
		}
		_, info, _, err := storage.GetInfo(tx, key)
		if err != nil {
			return nil, err
		}
		if info.Kind != snapshots.KindView || info.Parent == "" {
			missing = append(missing, Missing{Key: key, Kind: info.Kind, Folder: s.folder(id)})
		}
	}
	sortMissing(missing)
	return missing, nil
}

// lookInto looks for what is missing in the folders that are there.
func (s *Snapshotter) lookInto(tx context.Context, f *findings) error {
	for id, key := range f.ids {
		if _, err := os.Lstat(s.folder(id)); errors.Is(err, fs.ErrNotExist) {
			continue // found already, or a view
		}
		_, info, _, err := storage.GetInfo(tx, key)
		if err != nil {
			return err
		}
		needed := []string{s.upper(id)}
		if info.Kind == snapshots.KindActive {
			needed = append(needed, s.work(id))
		}
		for _, dir := range needed {
			if _, err := os.Lstat(dir); err != nil {
				f.Missing = append(f.Missing, Missing{Key: key, Kind: info.Kind, Folder: dir})
			}
		}
	}
	sortMissing(f.Missing)
	return nil
}

func sortMissing(m []Missing) {
	slices.SortFunc(m, func(a, b Missing) int { return strings.Compare(a.Folder, b.Folder) })
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// repair takes up what a crash, or Close, left.
func (s *Snapshotter) repair(ctx context.Context) error {
	f, err := s.survey(ctx)
	if err != nil {
		return err
	}
	for _, name := range f.unnamed {
		s.trash.put(name)
	}
	for _, id := range f.Leftover {
		// The id may be given again, so the name must go now.
		if err := s.trash.take(id); err != nil {
			return fmt.Errorf("put folder without a record away: %w", err)
		}
	}
	for id := range f.ids {
		s.disk.saw(id)
	}
	for _, m := range f.Missing {
		log.G(ctx).WithFields(log.Fields{"snapshot": m.Key, "kind": m.Kind, "path": m.Folder}).
			Error("the files of a snapshot are missing")
	}
	for _, name := range f.Strange {
		log.G(ctx).WithField("path", s.folder(name)).Warn("no snapshotter made this")
	}
	return s.unlinkAll(f.ids)
}

// unlinkAll removes short names of snapshots that are gone.
func (s *Snapshotter) unlinkAll(ids map[string]string) error {
	names, err := readNames(s.links())
	if err != nil {
		return err
	}
	for _, name := range names {
		if id, ok := idOfShortName(name); ok && ids[id] != "" {
			continue
		}
		if err := os.Remove(filepath.Join(s.links(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
