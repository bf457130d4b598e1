package results

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// digits writes a number with three digits, more only in front of the point.
func digits(x float64) string {
	decimals := 0
	if x != 0 {
		// 9.996 is written as 10.0.
		decimals = max(0, min(3, 2-int(math.Floor(math.Log10(math.Abs(x)*1.0005)))))
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}

func seconds(s float64) string {
	switch {
	case s == 0:
		return "0 s"
	case s < 0.001:
		return digits(s*1e6) + " µs"
	case s < 0.9995:
		return digits(s*1e3) + " ms"
	}
	return digits(s) + " s"
}

func bytes(n float64) string {
	for _, unit := range []string{"B", "kB", "MB"} {
		if n < 999.5 {
			return digits(n) + " " + unit
		}
		n /= 1000
	}
	return digits(n) + " GB"
}

func ratio(x float64) string { return "×" + digits(x) }

// count writes a number with commas between thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	var groups []string
	for len(s) > 3 {
		groups = append([]string{s[len(s)-3:]}, groups...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, groups...), ",")
}

// main reports whether the action is what the workload is for.
func (c Case) main() bool { return c.Action == Commit || c.Action == Build || c.Action == Load }

// name is how a case is called in the table.
func (c Case) name() string {
	name := c.Workload
	if c.Workload == "W1" {
		name = fmt.Sprintf("%s on %s files", c.Workload, count(c.Files))
	}
	if !c.main() {
		name += ": " + c.Action
	}
	return name
}
