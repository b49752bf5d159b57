package builtins

import "testing"

func TestYAMLJSON(t *testing.T) {
	for _, test := range []struct{ yaml, want string }{
		{"", "null"},
		{"a: 1\nb: [x, 1.5, true, null, 2001-01-01]\n", `{"a":1,"b":["x",1.5,true,null,"2001-01-01"]}`},
		{"1: a\ntrue: b\n1.5: c\n-2: d\n", `{"-2":"d","1":"a","1.5":"c","true":"b"}`},
		{"a: &x {p: 1}\nb: [*x, *x]\n", `{"a":{"p":1},"b":[{"p":1},{"p":1}]}`},
		{"a: &x [{1: 2}]\nb: *x\nc: *x\n", `{"a":[{"1":2}],"b":[{"1":2}],"c":[{"1":2}]}`},
		{"a: 9223372036854775807\nb: 18446744073709551615\n", `{"a":9223372036854775807,"b":18446744073709551615}`},
		{"1: a\n\"1\": b\n", "the key 1 is there twice, as a string and as another value"},
		{"a: [{true: a, \"true\": b}]\n", "the key true is there twice, as a string and as another value"},
		{"null: a\n", "a key is null"},
		{"? [a]\n: b\n", "yaml: invalid map key: []interface {}{\"a\"}"},
		{".inf: a\n", "the key +Inf is not a number"},
		{"a: -.inf\n", "-Inf is not a number"},
		{"a: .nan\n", "NaN is not a number"},
		{"a: [\n", "yaml: line 1: did not find expected node content"},
		{"a: 1\na: 2\n", `{"a":2}`},
	} {
		got, err := yamlJSON([]byte(test.yaml), false)
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != test.want {
			t.Errorf("yamlJSON(%q) = %s, want %s", test.yaml, got, test.want)
		}
	}
	for range 50 {
		const several = "a: .inf\nb: .nan\n1: .inf\n\"1\": y\nnull: z\nc: {d: .nan, e: -.inf}\n"
		if _, err := yamlJSON([]byte(several), false); err == nil || err.Error() != "+Inf is not a number" {
			t.Fatalf("yamlJSON with several errors = %v, which is not always the same", err)
		}
	}
	if _, err := yamlJSON([]byte("a: 1\na: 2\n"), true); err == nil {
		t.Error("strict: a key that is given twice is not an error")
	}
}
