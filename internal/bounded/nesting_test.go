package bounded

import "testing"

func TestTokens(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "\n": 3, "x\n": 4, "x = 1\n": 6, "x == 1\n": 7, "param(\"p\")\n": 7, "f(name, 12.5)\n": 11,
		"# one comment\n": 4, `"a string of words"` + "\n": 4, "\"\"\"two\nlines\"\"\"\n": 4, "größe = not x\n": 7,
	} {
		if got, _, wrong := Tokens([]byte(text)); got != want || wrong != nil {
			t.Errorf("Tokens(%q) = %d, %v, want %d", text, got, wrong, want)
		}
	}
}
