package revisions_test

import (
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

func TestPolicy(t *testing.T) {
	p, err := revisions.ParsePolicies("", []api.PathPolicy{
		{Pattern: "/etc/nginx/*", Policy: "image"},
		{Pattern: "/etc/**", Policy: "fail"},
		{Pattern: "/srv/*/cache/**", Policy: "image"},
		{Pattern: "/srv/**", Policy: "keep"},
	}, []string{"/srv/data/", "/a/../b"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]merge.Policy{
		"etc/nginx/conf":       merge.Image,
		"etc/nginx/conf.d/own": merge.Fail, // a star matches within one name
		"etc":                  merge.Fail,
		"etcetera":             merge.Keep,
		"srv/a/cache":          merge.Image,
		"srv/a/cache/b/c":      merge.Image,
		"srv/a/b":              merge.Keep,
		"usr":                  merge.Keep,
		".":                    merge.Keep,
	} {
		if got := p.Decide(path); got != want {
			t.Errorf("the policy of %s is %s, want %s", path, got, want)
		}
	}
	if all, err := revisions.ParsePolicies("fail", []api.PathPolicy{{Pattern: "/**", Policy: "image"}}, nil); err != nil || all.Decide("a/b") != merge.Image || all.Decide(".") != merge.Image {
		t.Errorf("the policy of all is %s, %v", all.Decide("a/b"), err)
	}
	for _, wrong := range []struct{ policy, pattern string }{{"both", "/a"}, {"keep", "a"}, {"keep", "/[a"}, {"keep", ""}} {
		if _, err := revisions.ParsePolicies("", []api.PathPolicy{{Pattern: wrong.pattern, Policy: wrong.policy}}, nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("policy %s of %q gave %v", wrong.policy, wrong.pattern, err)
		}
	}
	for _, wrong := range []string{"", "/", "/a/..", "a"} {
		if _, err := revisions.ParsePolicies("", nil, []string{wrong}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("to keep %q gave %v", wrong, err)
		}
	}
	if _, err := revisions.ParsePolicies("both", nil, nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("policy both gave %v", err)
	}
}
