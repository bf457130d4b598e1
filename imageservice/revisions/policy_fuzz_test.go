package revisions_test

import (
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/api"
	"github.com/baleen-project/baleen/diff/merge"
	"github.com/baleen-project/baleen/imageservice/revisions"
)

// patternModel is a pattern as a regular expression, by the words of path.Match
// and of api.UpgradeRequest; nil for one that has classes, whose syntax differs, or
// is no text.
func patternModel(pattern string) *regexp.Regexp {
	if strings.ContainsAny(pattern, `[]\`) || !utf8.ValidString(pattern) {
		return nil
	}
	pattern = path.Clean(pattern)
	parent, below := strings.CutSuffix(pattern, "/**")
	if !below {
		parent = pattern
	}
	if parent == "/" || parent == "" && below {
		parent = ""
		if below {
			return regexp.MustCompile(`(?s)^.*$`)
		}
	}
	text := regexp.QuoteMeta(strings.TrimPrefix(parent, "/"))
	text = strings.ReplaceAll(text, `\*`, `[^/]*`)
	text = strings.ReplaceAll(text, `\?`, `[^/]`)
	if below {
		text += `(/.*)?`
	}
	return regexp.MustCompile(`(?s)^` + text + `$`)
}

// FuzzPolicy: of the policies for patterns the first that matches decides, and
// that for all paths if none does. What no pattern or policy is, is refused.
func FuzzPolicy(f *testing.F) {
	for _, c := range [][5]string{
		{"", "/etc/nginx/*", "image", "/etc/**", "fail"}, {"keep", "/srv/*/cache/**", "image", "/srv/**", "keep"}, {"fail", "/**", "image", "/", "keep"},
		{"both", "/a", "keep", "a", ""}, {"image", "/[a", "keep", "/[a-c]?", "fail"}, {"", "/a/../b", "image", "//", "fail"}, {"", "/*/**", "image", "/a**", "fail"},
		{"", "/./**", "image", "/..", "fail"}, {"", `/\`, "image", `/\*`, "fail"}, {"", "/a/**/b", "image", "/**/**", "fail"}, {"", "/etc/", "image", "/*\n", "fail"},
	} {
		for _, at := range []string{".", "etc", "etc/nginx/conf", "srv/a/cache/b", "a", "b/c", "é", "a\nb", "..."} {
			f.Add(c[0], c[1], c[2], c[3], c[4], at)
		}
	}
	f.Fuzz(func(t *testing.T, otherwise, first, its, second, others, at string) {
		if len(first)+len(second)+len(at) > 4<<10 {
			return
		}
		names := map[string]merge.Policy{"": merge.Keep, "keep": merge.Keep, "image": merge.Image, "fail": merge.Fail}
		paths := []api.PathPolicy{{Pattern: first, Policy: its}, {Pattern: second, Policy: others}}
		p, err := revisions.ParsePolicies(otherwise, paths, nil)
		known := true
		for _, policy := range []string{otherwise, its, others} {
			_, ok := names[policy]
			known = known && ok
		}
		rooted := strings.HasPrefix(first, "/") && strings.HasPrefix(second, "/")
		models := []*regexp.Regexp{patternModel(first), patternModel(second)}
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("an error of another class: %v", err)
			}
			if known && rooted && models[0] != nil && models[1] != nil {
				t.Errorf("%q and %q are refused: %v", first, second, err)
			}
			return
		}
		if !known || !rooted {
			t.Fatalf("policy %q, %q of %q and %q of %q are taken", otherwise, its, first, others, second)
		}
		if path.Clean("/"+at) != "/"+at && at != "." || strings.Contains(at, "\x00") {
			return // no path of a diff
		}
		want := names[otherwise]
		for i, model := range models {
			if model == nil {
				return
			}
			if model.MatchString(at) {
				want = names[paths[i].Policy]
				break
			}
		}
		if got := p.Decide(at); got != want {
			t.Errorf("%q is decided by %s, want %s", at, got, want)
		}
	})
}
