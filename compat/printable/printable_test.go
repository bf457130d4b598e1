package printable_test

import (
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/baleen-project/baleen/compat/printable"
)

func TestPrintable(t *testing.T) {
	for _, test := range []struct{ text, line, several, shell string }{
		{"", "", "", "''"},
		{"web", "web", "web", "web"},
		{"docker.io/a/b:1@sha256:0", "docker.io/a/b:1@sha256:0", "docker.io/a/b:1@sha256:0", "docker.io/a/b:1@sha256:0"},
		{"two words", "two words", "two words", "'two words'"},
		{"é日本", "é日本", "é日本", "'é日本'"},
		{`it's "so" \`, `it's "so" \`, `it's "so" \`, `'it'\''s "so" \'`},
		{"$(reboot)`", "$(reboot)`", "$(reboot)`", "'$(reboot)`'"},
		{"~root", "~root", "~root", "'~root'"},
		{"\x1b[2J", `"\x1b[2J"`, `\x1b[2J`, `$'\033[2J'`},
		{"a\nb\tc", `"a\nb\tc"`, "a\n  b\tc", `$'a\012b\011c'`},
		{"a\r\x00'", `"a\r\x00'"`, `a\r\x00'`, `$'a\015\000\''`},
		{"\xff\\", `"\xff\\"`, `\xff\`, `$'\377\\'`},
		{"\u202e\u2066\u200b\u009b", `"\u202e\u2066\u200b\u009b"`, `\u202e\u2066\u200b\u009b`, `$'\342\200\256\342\201\246\342\200\213\302\233'`},
		{"\uFFFD", "\uFFFD", "\uFFFD", "'\uFFFD'"},
	} {
		for _, is := range []struct{ what, got, want string }{
			{"Line", printable.Line(test.text), test.line}, {"Text", printable.Text(test.text), test.several}, {"Shell", printable.Shell(test.text), test.shell},
		} {
			if is.got != is.want {
				t.Errorf("%s(%q) is %q, want %q", is.what, test.text, is.got, is.want)
			}
		}
	}
}

// FuzzPrintable: no text makes a terminal obey, and a shell reads what was written.
func FuzzPrintable(f *testing.F) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		f.Skip("there is no bash to read what is quoted for a shell: ", err)
	}
	for _, s := range []string{"", "web", "it's", "\x1b]0;x\x07", "\xff\xfe", "a\nb", "\u202eabc", "!", "-n", "\\", "$'", "\u00a0", "\u00ad", "é\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for what, got := range map[string]string{"Line": printable.Line(s), "Text": printable.Text(s), "Shell": printable.Shell(s)} {
			if !utf8.ValidString(got) {
				t.Errorf("%s(%q) is %q, which is no UTF-8", what, s, got)
			}
			for _, r := range got {
				allowed := what == "Text" && (r == '\n' || r == '\t')
				if !allowed && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
					t.Errorf("%s(%q) is %q, with %U in it", what, s, got, r)
				}
			}
		}
		if once := printable.Text(s); printable.Text(once) != once {
			t.Errorf("Text(%q) is %q, and Text of that is %q", s, once, printable.Text(once))
		}
		if strings.Contains(s, "\x00") {
			return // no shell has that in a word
		}
		out, err := exec.Command(bash, "--norc", "--noprofile", "-c", "printf %s "+printable.Shell(s)).Output()
		// printf of an option is not what is tested.
		if !strings.HasPrefix(s, "-") && (err != nil || string(out) != s) {
			t.Errorf("bash reads %s as %q, and it was %q: %v", printable.Shell(s), out, s, err)
		}
	})
}
