package api

import (
	"errors"
	"fmt"
)

// Limits of a request, besides those of its body (see [Decode]).
const (
	// MaxText is how many bytes a text may have: a message of a revision, a name, or a
	// pattern, for which it is the kernel's PATH_MAX.
	MaxText = 4096
	// MaxPaths is how many policies for paths a request may have.
	MaxPaths = 1000
	// MaxHealthTimeout is a week, in seconds.
	MaxHealthTimeout = 7 * 24 * 60 * 60
)

// Validate tells what is wrong with a request, in words for the one who made it.
func (r SnapshotRequest) Validate() error { return short("message", r.Message) }

// Validate tells what is wrong with a request, in words for the one who made it.
// What policies mean is left to imageservice.ParsePolicy.
func (r UpgradeRequest) Validate() error {
	if r.HealthTimeout < 0 || r.HealthTimeout > MaxHealthTimeout {
		return fmt.Errorf("health timeout of %d seconds: want 0, for the default, to %d", r.HealthTimeout, MaxHealthTimeout)
	}
	return errors.Join(short("name of the image", r.Image), short("message", r.Message), validPaths(r.Policy, r.Paths))
}

// Validate tells what is wrong with a request, in words for the one who made it.
func (r RollbackRequest) Validate() error {
	if r.Revision < 0 {
		return fmt.Errorf("revision %d: want 0, for the one before, or more", r.Revision)
	}
	return errors.Join(short("message", r.Message), validPaths(r.Policy, r.Paths))
}

// Validate tells what is wrong with a request, in words for the one who made it.
func (r PruneRequest) Validate() error {
	if r.Keep < 0 {
		return fmt.Errorf("keep %d revisions: want 0 or more", r.Keep)
	}
	if r.OlderThan < 0 {
		return fmt.Errorf("older than %v: want 0, for any age, or more", r.OlderThan)
	}
	return nil
}

// Validate tells what is wrong with a request, in words for the one who made it.
func (r CheckpointRequest) Validate() error { return short("name of the checkpoint", r.Ref) }

// Validate tells what is wrong with a request, in words for the one who made it.
func (r RestoreRequest) Validate() error {
	if r.Ref == "" {
		return errors.New("no checkpoint to restore")
	}
	return errors.Join(short("name of the checkpoint", r.Ref), short("name of the container", r.Name))
}

func validPaths(policy string, paths []PathPolicy) error {
	if len(paths) > MaxPaths {
		return fmt.Errorf("%d policies for paths: at most %d are possible", len(paths), MaxPaths)
	}
	err := short("policy", policy)
	for _, p := range paths {
		err = errors.Join(err, short("pattern of a policy", p.Pattern), short("policy", p.Policy))
	}
	return err
}

// short is the error of a text that is too long.
func short(what, text string) error {
	if len(text) > MaxText {
		return fmt.Errorf("the %s has %d bytes: at most %d are possible", what, len(text), MaxText)
	}
	return nil
}
