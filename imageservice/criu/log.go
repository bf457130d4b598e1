package criu

import (
	"os"
	"regexp"
	"strings"
)

var logPath = regexp.MustCompile(`path= ?(/\S+\.log)`)

// LogOf returns the errors in the CRIU log that an error of containerd's names, after
// a colon; "" if the error names none, or if the log cannot be read.
func LogOf(err error) string {
	found := logPath.FindStringSubmatch(err.Error())
	if found == nil {
		return ""
	}
	text, err := os.ReadFile(found[1])
	if err != nil {
		return ""
	}
	return ": " + errorLines(string(text))
}

// errorLines returns the first errors in what CRIU has printed.
func errorLines(text string) string {
	const most = 4
	var found []string
	for line := range strings.Lines(text) {
		if _, what, ok := strings.Cut(line, "Error ("); ok && len(found) < most {
			_, what, _ = strings.Cut(what, "): ")
			found = append(found, strings.TrimSpace(what))
		}
	}
	return strings.Join(found, "; ")
}
