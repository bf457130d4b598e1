package api

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Limits of a request, besides those of its body (see [Decode]).
const (
	// MaxText is how many bytes a text may have: a message of a revision, a name, or a
	// pattern, for which it is the kernel's PATH_MAX.
	MaxText = 4096
	// MaxPaths is how many policies for paths, and how many paths to keep, a request may
	// have.
	MaxPaths = 1000
	// MaxPublished and MaxVolumes are how many ports and volumes a restore may name.
	MaxPublished = 1000
	MaxVolumes   = 1000
	// MaxHealthTimeout is a week, in seconds.
	MaxHealthTimeout = 7 * 24 * 60 * 60
)

// Validate tells what is wrong with a request, in words for the one who made it.
func (r SnapshotRequest) Validate() error { return short("message", r.Message) }

// Validate tells what is wrong with a request, in words for the one who made it.
// What policies mean is left to revisions.ParsePolicies.
func (r UpgradeRequest) Validate() error {
	if r.HealthTimeout < 0 || r.HealthTimeout > MaxHealthTimeout {
		return fmt.Errorf("health timeout of %d seconds: want 0, for the default, to %d", r.HealthTimeout, MaxHealthTimeout)
	}
	return errors.Join(short("name of the image", r.Image), short("message", r.Message), validPaths(r.Policy, r.Paths), validKeep(r.Keep))
}

// Validate tells what is wrong with a request, in words for the one who made it.
func (r RollbackRequest) Validate() error {
	if r.Revision < 0 {
		return fmt.Errorf("revision %d: want 0, for the one before, or more", r.Revision)
	}
	if len(r.Keep) > 0 && !r.Carry {
		return errors.New("paths to keep: a rollback that carries nothing along keeps nothing")
	}
	return errors.Join(short("message", r.Message), validPaths(r.Policy, r.Paths), validKeep(r.Keep))
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
// That names and addresses are such the engine tells, as for docker run.
func (r RestoreRequest) Validate() error {
	if r.Ref == "" {
		return errors.New("no checkpoint to restore")
	}
	if len(r.Publish) > MaxPublished || len(r.Volumes) > MaxVolumes {
		return fmt.Errorf("%d published ports and %d volumes: at most %d and %d are possible", len(r.Publish), len(r.Volumes), MaxPublished, MaxVolumes)
	}
	if r.Unpublished && len(r.Publish) > 0 {
		return errors.New("published ports, and none to be published")
	}
	err := errors.Join(short("name of the checkpoint", r.Ref), short("name of the container", r.Name),
		short("network", r.Network), short("host name", r.Hostname), short("IP address", r.IP))
	for _, p := range r.Publish {
		if !portPattern.MatchString(p.Port) {
			err = errors.Join(err, fmt.Errorf("published port %.100q: want a number and a protocol, such as 80/tcp", p.Port))
		}
		err = errors.Join(err, short("address of a published port", p.HostIP), short("port of the host", p.HostPort))
	}
	for _, v := range r.Volumes {
		if source, path, ok := strings.Cut(v, ":"); !ok || source == "" || !strings.HasPrefix(path, "/") {
			err = errors.Join(err, fmt.Errorf("volume %.100q: want a name or folder, and a path: NAME:/PATH", v))
		}
		err = errors.Join(err, short("volume", v))
	}
	return err
}

var portPattern = regexp.MustCompile(`^[0-9]{1,5}/(tcp|udp|sctp)$`)

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

// validKeep checks sizes; revisions.ParsePolicies reads the paths.
func validKeep(paths []string) (err error) {
	if len(paths) > MaxPaths {
		return fmt.Errorf("%d paths to keep: at most %d are possible", len(paths), MaxPaths)
	}
	for _, p := range paths {
		err = errors.Join(err, short("path to keep", p))
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
