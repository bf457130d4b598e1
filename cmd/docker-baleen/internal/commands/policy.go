package commands

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/baleen-project/baleen/compat/api"
)

// policies decide a file that both the container and the image changed.
var policies = []string{"keep", "image", "fail"}

const policyHelp = "Whose change wins where both the container and the image changed a file: keep (the container's, the default), " +
	"image, or fail; PATTERN=POLICY for some paths, of which the first that matches wins (e.g. '/etc/nginx/**=image')"

// policyFlag is --policy, as often as one likes.
type policyFlag struct {
	policy string
	paths  []api.PathPolicy
	given  []string
}

// String is what was given.
func (p *policyFlag) String() string { return strings.Join(p.given, ",") }

// Type is what the help calls the value.
func (*policyFlag) Type() string { return "policy" }

// Set takes one value. The last "=" parts, for a path may have one too.
func (p *policyFlag) Set(value string) error {
	pattern, policy := "", value
	if i := strings.LastIndexByte(value, '='); i >= 0 {
		pattern, policy = value[:i], value[i+1:]
		if err := checkPattern(pattern); err != nil {
			return err
		}
	}
	switch {
	case !slices.Contains(policies, policy):
		return fmt.Errorf("%q is not keep, image or fail", policy)
	case policy != value:
		p.paths = append(p.paths, api.PathPolicy{Pattern: pattern, Policy: policy})
	case p.policy != "" && p.policy != policy:
		return fmt.Errorf("the policy for all paths is %s already", p.policy)
	default:
		p.policy = policy
	}
	p.given = append(p.given, value)
	return nil
}

func checkPattern(pattern string) error {
	if !strings.HasPrefix(pattern, "/") {
		return fmt.Errorf("pattern %q does not begin with /", pattern)
	}
	if _, err := path.Match(strings.TrimSuffix(pattern, "/**"), "/"); err != nil {
		return fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return nil
}
