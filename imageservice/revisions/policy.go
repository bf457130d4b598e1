package revisions

import (
	"fmt"
	"path"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat"
	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/diff/merge"
)

// Policies decide the conflicts of an upgrade or a rollback by path. The zero
// value lets the container win all.
type Policies struct {
	otherwise merge.Policy
	paths     []pathPolicy
	keep      []string // paths that stay whole, in the form of a diff's
}

type pathPolicy struct {
	pattern string // relative, as the paths of a diff
	below   bool   // holds for the directory pattern and all in it
	policy  merge.Policy
}

// ParsePolicies reads a policy as requests give it, with the paths to keep: see
// [api.UpgradeRequest].
func ParsePolicies(otherwise string, paths []api.PathPolicy, keep []string) (p Policies, err error) {
	if p.otherwise, err = parsePolicy(otherwise); err != nil {
		return Policies{}, compat.DockerError(err)
	}
	for _, of := range paths {
		parsed, err := parsePath(of)
		if err != nil {
			return Policies{}, compat.DockerError(fmt.Errorf("policy of %s: %w", of.Pattern, err))
		}
		p.paths = append(p.paths, parsed)
	}
	for _, at := range keep {
		clean := path.Clean(at)
		if !path.IsAbs(at) || clean == "/" {
			return Policies{}, compat.DockerError(fmt.Errorf("keep %q: the path must begin with a slash, and not be the root: %w", at, errdefs.ErrInvalidArgument))
		}
		p.keep = append(p.keep, strings.TrimPrefix(clean, "/"))
	}
	return p, nil
}

func parsePolicy(text string) (merge.Policy, error) {
	for _, p := range []merge.Policy{merge.Keep, merge.Image, merge.Fail} {
		if text == p.String() || text == "" {
			return p, nil
		}
	}
	return 0, fmt.Errorf("policy %q: there are keep, image and fail: %w", text, errdefs.ErrInvalidArgument)
}

func parsePath(of api.PathPolicy) (parsed pathPolicy, err error) {
	if !path.IsAbs(of.Pattern) {
		return parsed, fmt.Errorf("a pattern begins with a slash: %w", errdefs.ErrInvalidArgument)
	}
	pattern := path.Clean(of.Pattern)
	if parent, ok := strings.CutSuffix(pattern, "/**"); ok {
		pattern, parsed.below = parent, true
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return parsed, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	parsed.pattern = strings.TrimPrefix(pattern, "/")
	parsed.policy, err = parsePolicy(of.Policy)
	return parsed, err
}

// Decide says who wins a conflict at a path, as merge.Changes wants it.
func (p Policies) Decide(at string) merge.Policy {
	for _, of := range p.paths {
		if of.match(at) {
			return of.policy
		}
	}
	return p.otherwise
}

func (p *pathPolicy) match(at string) bool {
	if !p.below {
		ok, _ := path.Match(p.pattern, at) // the pattern was tried
		return ok
	}
	if p.pattern == "" {
		return true
	}
	// A pattern has as many names as the path that it matches.
	names, depth := strings.Split(at, "/"), strings.Count(p.pattern, "/")+1
	if len(names) < depth {
		return false
	}
	ok, _ := path.Match(p.pattern, strings.Join(names[:depth], "/"))
	return ok
}
