package suites

import (
	"regexp"
	"slices"
	"strings"
)

// A test's name has the names of the tests that it is part of before its own,
// with slashes between. Its own name may have slashes too, so a name cannot be
// taken apart safely; but whether one test is part of another shows.

// digests are in the names of some subtests, and the same image has another one
// on each stack, for it is imported there.
var digests = regexp.MustCompile(`[0-9a-f]{64}`)

const anyDigest = "<digest>"

// common returns the name that a test has on any stack.
func common(name string) string { return digests.ReplaceAllString(name, anyDigest) }

// partOf tells whether name is a subtest, at any depth, of parent.
func partOf(name, parent string) bool {
	return strings.HasPrefix(name, parent+"/")
}

// exactly returns the pattern for -test.run and -test.skip that matches the test
// of that common name. They match a name slash by slash.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		part = strings.ReplaceAll(regexp.QuoteMeta(part), anyDigest, digests.String())
		parts[i] = "^" + part + "$"
	}
	return strings.Join(parts, "/")
}

// innermost returns those of names that no other one of names is part of.
func innermost(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(names, func(other string) bool { return partOf(other, name) })
	})
}

// outermost returns those of names that are not part of another one of names.
func outermost(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(names, func(other string) bool { return partOf(name, other) })
	})
}
