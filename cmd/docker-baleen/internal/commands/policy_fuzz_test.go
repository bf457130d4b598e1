package commands_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/baleen-project/baleen/cmd/docker-baleen/internal/commands"
	"github.com/baleen-project/baleen/compat/api"
)

// FuzzPolicyFlag: what is given comes out in the order in which it was given, one
// policy for all paths at most, and no value that is refused changes anything.
func FuzzPolicyFlag(f *testing.F) {
	for _, values := range []string{
		"keep", "image\nimage", "keep\nfail", "/etc/**=image", "/a=b=keep\nfail", "/[=keep", "a=keep", "=keep", "/=", "/a=both", "", "\n", "/a\t=fail", "keep=keep", "/**=image\n/**=fail\nimage", "/\xff=keep",
	} {
		f.Add(values)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var (
			flag   commands.PolicyFlag
			given  []string
			policy string
			paths  []api.PathPolicy
		)
		for _, value := range strings.Split(text, "\n") {
			err := flag.Set(value)
			pattern, its, rooted := "", value, true
			if at := strings.LastIndex(value, "="); at >= 0 {
				pattern, its = value[:at], value[at+1:]
				rooted = strings.HasPrefix(pattern, "/")
			}
			_, bad := path.Match(strings.TrimSuffix(pattern, "/**"), "")
			known := slices.Contains([]string{"keep", "image", "fail"}, its)
			second := pattern == "" && policy != "" && policy != its
			if want := known && rooted && bad == nil && !second; (err == nil) != want {
				t.Fatalf("after %q, %q gave %v; want it taken: %v", given, value, err, want)
			}
			if err == nil {
				given = append(given, value)
				if pattern == "" {
					policy = its
				} else {
					paths = append(paths, api.PathPolicy{Pattern: pattern, Policy: its})
				}
			}
			if all, each := flag.Read(); all != policy || !slices.Equal(each, paths) || flag.String() != strings.Join(given, ",") {
				t.Fatalf("%q came to %q and %q, want %q and %q", given, all, each, policy, paths)
			}
		}
	})
}
