package git

import "testing"

// TestOutput: what is printed over the bound is refused, and is not kept.
func TestOutput(t *testing.T) {
	o := &output{left: 4}
	for _, text := range []string{"ab", "cd"} {
		if n, err := o.Write([]byte(text)); n != 2 || err != nil {
			t.Errorf("Write(%q) = %d, %v", text, n, err)
		}
	}
	if n, err := o.Write([]byte("e")); n != 0 || err == nil || !o.full || o.String() != "abcd" {
		t.Errorf("Write over the bound = %d, %v: has %q", n, err, o.String())
	}
}
