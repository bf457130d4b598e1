package suites

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// resultsOf makes results of outcomes.
func resultsOf(m map[string]outcome) results {
	r := results{}
	for name, o := range m {
		r[name] = result{Outcome: o}
	}
	return r
}

func TestCompare(t *testing.T) {
	stock := resultsOf(map[string]outcome{
		"Both": pass, "Broken": pass, "Skips": pass, "Absent": pass,
		"Mended": fail, "Hopeless": fail, "Never": skip, "StockSkips": skip, "StockFails": fail,
	})
	fork := resultsOf(map[string]outcome{
		"Both": pass, "Broken": fail, "Skips": skip,
		"Mended": pass, "Hopeless": fail, "Never": skip, "StockSkips": fail, "StockFails": skip, "New": pass,
	})
	c := compare(stock, fork, nil)
	for _, tc := range []struct {
		what      string
		got, want []string
	}{
		{"passed", c.passed, []string{"Both"}},
		{"worse", c.worse, []string{"Absent", "Broken", "Skips"}},
		{"better", c.better, []string{"Mended", "New"}},
		{"skipped", c.skipped, []string{"Never", "StockFails"}},
		{"neither", c.neither, []string{"Hopeless", "StockSkips"}},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s are %v, want %v", tc.what, tc.got, tc.want)
		}
	}
}

// court plays the runs of tests alone: for each set-up and test the outcomes of
// one run after the other, of which the last one stays.
type court struct {
	script map[string][]map[string]outcome
	calls  []string
}

func (c *court) alone(_ context.Context, setup, name string) (results, error) {
	call := fmt.Sprintf("%s %s", setup, name)
	c.calls = append(c.calls, call)
	runs := c.script[call]
	if len(runs) == 0 {
		return nil, fmt.Errorf("unexpected run: %s", call)
	}
	if len(runs) > 1 {
		c.script[call] = runs[1:]
	}
	return resultsOf(runs[0]), nil
}

// trials are what runs of single tests give, and what is judged from that.
var trials = []struct {
	name                     string
	worse                    []string
	script                   map[string][]map[string]outcome
	failed, recovered, flaky []string
	calls                    int
}{
	{name: "nothing is worse"},
	{
		name: "passes at once", worse: []string{"A"},
		script:    map[string][]map[string]outcome{"fork A": {{"A": pass}}},
		recovered: []string{"A"}, calls: 1,
	},
	{
		name: "passes at the second chance", worse: []string{"A"},
		script:    map[string][]map[string]outcome{"fork A": {{"A": fail}, {"A": pass}}},
		recovered: []string{"A"}, calls: 2,
	},
	{
		name: "fails for good", worse: []string{"A"},
		script: map[string][]map[string]outcome{"fork A": {{"A": fail}}, "stock A": {{"A": pass}}},
		failed: []string{"A"}, calls: 3,
	},
	{
		name: "being skipped is no pass", worse: []string{"A"},
		script: map[string][]map[string]outcome{"fork A": {{"A": skip}}, "stock A": {{"A": pass}}},
		failed: []string{"A"}, calls: 3,
	},
	{
		name: "fails alone on stock too", worse: []string{"A"},
		script: map[string][]map[string]outcome{"fork A": {{"A": fail}}, "stock A": {{"A": fail}}},
		flaky:  []string{"A"}, calls: 3,
	},
	{
		name: "fails alone on stock before its turn", worse: []string{"A/x"},
		script: map[string][]map[string]outcome{"fork A/x": {{"A": fail}}, "stock A/x": {{"A": fail}}},
		flaky:  []string{"A/x"}, calls: 3,
	},
	{
		name: "does not exist on stock when run alone", worse: []string{"A/x"},
		script: map[string][]map[string]outcome{"fork A/x": {{"A": pass}}, "stock A/x": {{"A": pass}}},
		failed: []string{"A/x"}, calls: 3,
	},
	{
		name: "the whole shares the fate of its parts", worse: []string{"A", "A/x", "A/x/1", "A/y"},
		script: map[string][]map[string]outcome{
			"fork A/x/1": {{"A": pass, "A/x": pass, "A/x/1": pass}},
			"fork A/y":   {{"A": fail, "A/y": fail}}, "stock A/y": {{"A": pass, "A/y": pass}},
		},
		failed: []string{"A", "A/y"}, recovered: []string{"A/x", "A/x/1"}, calls: 4,
	},
	{
		name: "a flaky part does not fail the whole", worse: []string{"A", "A/x"},
		script: map[string][]map[string]outcome{
			"fork A/x": {{"A": fail, "A/x": fail}}, "stock A/x": {{"A": fail, "A/x": fail}},
		},
		flaky: []string{"A", "A/x"}, calls: 3,
	},
	{
		name: "a whole that fails although its part passes is run itself", worse: []string{"A", "A/x"},
		script: map[string][]map[string]outcome{
			"fork A/x": {{"A": fail, "A/x": pass}},
			"fork A":   {{"A": fail, "A/x": pass}}, "stock A": {{"A": pass, "A/x": pass}},
		},
		failed: []string{"A"}, recovered: []string{"A/x"}, calls: 4,
	},
	{
		name: "a name that begins like another is no part of it", worse: []string{"A", "AB"},
		script: map[string][]map[string]outcome{
			"fork A": {{"A": pass}}, "fork AB": {{"AB": fail}}, "stock AB": {{"AB": pass}},
		},
		failed: []string{"AB"}, recovered: []string{"A"}, calls: 4,
	},
}

func TestSettle(t *testing.T) {
	for _, tc := range trials {
		t.Run(tc.name, func(t *testing.T) {
			c := &court{script: tc.script}
			v, err := settle(t.Context(), comparison{worse: tc.worse}, "fork", "stock", c.alone)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(v.failed, tc.failed) || !slices.Equal(v.recovered, tc.recovered) || !slices.Equal(v.flaky, tc.flaky) {
				t.Errorf("failed %v, recovered %v, flaky %v; want %v, %v, %v",
					v.failed, v.recovered, v.flaky, tc.failed, tc.recovered, tc.flaky)
			}
			if len(c.calls) != tc.calls {
				t.Errorf("%d runs, want %d: %q", len(c.calls), tc.calls, c.calls)
			}
		})
	}
}

func TestSettleGivesUpWhenTooManyAreWorse(t *testing.T) {
	var c comparison
	for i := range maxChances + 1 {
		c.worse = append(c.worse, fmt.Sprintf("Test%d", i))
	}
	v, err := settle(t.Context(), c, "fork", "stock", (&court{}).alone)
	if err != nil {
		t.Fatal(err)
	}
	if !v.hopeless || len(v.failed) != len(c.worse) {
		t.Errorf("hopeless is %v with %d failed", v.hopeless, len(v.failed))
	}
}

func TestCountHasJudgedTests(t *testing.T) {
	v := verdict{
		comparison: comparison{passed: []string{"A", "B"}, better: []string{"C"}, skipped: []string{"D"}, neither: []string{"E"}},
		failed:     []string{"F"}, recovered: []string{"G"}, flaky: []string{"H"},
	}
	if got, want := v.count(), (Tally{Passed: 3, Failed: 1, Skipped: 1}); got != want {
		t.Errorf("count is %+v, want %+v", got, want)
	}
}
