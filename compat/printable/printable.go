package printable

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line returns a text that is to be on one line, or part of it: as it is if all of
// it is printable, and else quoted.
func Line(s string) string {
	if isPrintable(s) {
		return s
	}
	return strconv.Quote(s)
}

const indent = "  "

// Text returns a text that may have lines and tabs, such as an error. Lines after
// the first are indented, so that none can be taken for another message. The text
// that it returns stays as it is.
func Text(s string) string {
	if isPrintable(s) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch c := s[i : i+size]; {
		case c == "\n" && strings.HasPrefix(s[i+1:], indent):
			out.WriteString(c)
		case c == "\n":
			out.WriteString(c + indent)
		case c == "\t", isPrintable(c):
			out.WriteString(c)
		case r == utf8.RuneError && size == 1:
			out.WriteString(`\x` + strconv.FormatUint(uint64(c[0])|0x100, 16)[1:])
		default:
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return out.String()
}

// Shell returns a word as it is to be typed into a shell: as it is if that means
// itself, and else quoted. What is not printable is written as bash, zsh and ksh
// understand it.
func Shell(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@%+,", r)
	}
	switch {
	case s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0:
		return s
	case isPrintable(s):
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var out strings.Builder
	out.WriteString("$'")
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch c := s[i : i+size]; {
		case c == "'", c == `\`:
			out.WriteString(`\` + c)
		case isPrintable(c):
			out.WriteString(c)
		default:
			// Byte by byte: a locale may be another than UTF-8. Three octal digits are
			// an end in themselves, which hexadecimal ones are not.
			for _, b := range []byte(c) {
				out.WriteString(`\` + strconv.FormatUint(uint64(b)|0o1000, 8)[1:])
			}
		}
		i += size
	}
	out.WriteString("'")
	return out.String()
}

func isPrintable(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		}
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}
