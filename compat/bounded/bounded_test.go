package bounded_test

import (
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/baleen-project/baleen/compat/bounded"
)

func TestCheck(t *testing.T) {
	limits := bounded.Limits{Bytes: 100, Values: 10, Depth: 3}
	for text, want := range map[string]string{
		`{}`:                                        "",
		`"` + strings.Repeat("x", 98) + `"`:         "",
		`"` + strings.Repeat("x", 99) + `"`:         "more than 100 bytes",
		`[1,2,3,4,5,6,7,8,9,0]`:                     "more than 10 values",
		`[1,2,3,4,5,6,7,8,9]`:                       "",
		`[[[1]]]`:                                   "",
		`[[[[1]]]]`:                                 "more than 3 levels",
		`{"a":{"b":{"c":1}}}`:                       "",
		`["[[[[", "{{{{{", ",,,,,,,,,,,,,,"]`:       "",
		`["\"[[[[[", "\\", "\\\"[[[[,,,,,,,,"]`:     "",
		`["a", "` + strings.Repeat(`\\`, 20) + `"]`: "",
	} {
		err := limits.Check([]byte(text))
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}

// FuzzCheck: a text within the limits has no more values than json.Unmarshal finds.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":"\"}"},null]}`, `[[],{},"[[",[1,2]]`, `"\\"`, `{"":{}}`, `[`, `"`} {
		f.Add([]byte(text))
	}
	limits := bounded.Limits{Bytes: 1000, Values: 20, Depth: 5}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := limits.Check(text)
		var v any
		if err != nil || json.Unmarshal(text, &v) != nil {
			return
		}
		if values, depth := measure(v); values > limits.Values || depth > limits.Depth {
			t.Errorf("%q has %d values and depth %d", text, values, depth)
		}
	})
}

func measure(v any) (values, depth int) {
	values = 1
	all := func(inner any) {
		n, d := measure(inner)
		values, depth = values+n, max(depth, d+1)
	}
	switch v := v.(type) {
	case []any:
		depth = 1
		for _, inner := range v {
			all(inner)
		}
	case map[string]any:
		depth = 1
		for _, inner := range v {
			all(inner)
		}
	}
	return values, depth
}

// TestMemory: a short text does not become large structures before it is refused.
func TestMemory(t *testing.T) {
	text := []byte("[" + strings.Repeat("{},", 1_000_000) + "{}]")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var into []struct{ Text [100]string }
	err := bounded.Part.Unmarshal(text, &into)
	runtime.ReadMemStats(&after)
	if err == nil || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%v, after %d bytes were allocated", err, after.TotalAlloc-before.TotalAlloc)
	}
}

func TestDecoder(t *testing.T) {
	limits := bounded.Limits{Bytes: 1000, Values: 10, Depth: 3}
	long := `"` + strings.Repeat("x", 2000) + `"`
	d := limits.NewDecoder(strings.NewReader(strings.Repeat(`{"A":1} `, 1000) + long))
	var message struct{ A int }
	for range 1000 {
		if err := d.Decode(&message); err != nil || message.A != 1 {
			t.Fatal(message, err)
		}
	}
	if err := d.Decode(&message); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a long message: %v", err)
	}
	if err := limits.NewDecoder(strings.NewReader(`[1,2,3,4,5,6,7,8,9,10,11]`)).Decode(new([]int)); !errdefs.IsInvalidArgument(err) {
		t.Errorf("many values: %v", err)
	}
	d = limits.NewDecoder(strings.NewReader(`{"A":`))
	if err := d.Decode(&message); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an end in between: %v", err)
	}
	if err := limits.NewDecoder(strings.NewReader(" ")).Decode(&message); !errors.Is(err, io.EOF) {
		t.Errorf("nothing: %v", err)
	}
}
