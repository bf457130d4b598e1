package compat

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
)

// bareClasses are errors of containerd that say nothing but a class.
var bareClasses = []error{
	cerrdefs.ErrUnknown, cerrdefs.ErrInvalidArgument, cerrdefs.ErrNotFound, cerrdefs.ErrAlreadyExists, cerrdefs.ErrResourceExhausted,
	cerrdefs.ErrFailedPrecondition, cerrdefs.ErrConflict, cerrdefs.ErrAborted, cerrdefs.ErrOutOfRange, cerrdefs.ErrNotImplemented,
	cerrdefs.ErrInternal, cerrdefs.ErrUnavailable, cerrdefs.ErrDataLoss, cerrdefs.ErrUnauthenticated,
}

// statementWords is how many words a text has at least that says what is wrong. Fewer only
// name an object: the class behind "content sha256:…" is what is wrong with it.
const statementWords = 3

// message is the text of an error for a person. The class at its end is left out where the
// text before it is a statement. The id of a container is shortened, and named once.
func message(err error) string {
	text := err.Error()
	if class := lastCause(err); slices.Contains(bareClasses, class) {
		if before, ok := strings.CutSuffix(text, ": "+class.Error()); ok && isStatement(before) {
			text = before
		}
	}
	return nameOnce(text)
}

// lastCause is the innermost error of a chain, the last one where several are wrapped.
func lastCause(err error) error {
	for {
		var next error
		switch e := err.(type) { //nolint:errorlint // it follows the chain itself
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[len(all)-1]
			}
		default:
			next = errors.Unwrap(err)
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// isStatement reports whether the last part of a text says something, and not only names
// an object.
func isStatement(text string) bool {
	last := text[strings.LastIndexAny(text, "\n")+1:]
	if i := strings.LastIndex(last, ": "); i >= 0 {
		last = last[i+2:]
	}
	return len(strings.Fields(last)) >= statementWords
}

// shortID is how many digits of a container's id docker ps shows.
const shortID = 12

var (
	containerID  = regexp.MustCompile(`\b([Cc]ontainer )([0-9a-f]{64})\b`)
	containerToo = regexp.MustCompile(` of container [0-9a-f]{12}\b|\bcontainer [0-9a-f]{12}: `)
)

// nameOnce shortens the ids of containers in a text, and leaves out a second mention of
// the same container. The ids of other objects stay whole: commands for containerd need
// them.
func nameOnce(text string) string {
	first := containerID.FindStringSubmatchIndex(text)
	if first == nil {
		return text
	}
	id := text[first[4]:first[5]][:shortID]
	text = containerID.ReplaceAllStringFunc(text, func(found string) string {
		return found[:len(found)-64+shortID]
	})
	end := first[4] + shortID
	return text[:end] + containerToo.ReplaceAllStringFunc(text[end:], func(found string) string {
		if strings.Contains(found, id) {
			return ""
		}
		return found
	})
}
