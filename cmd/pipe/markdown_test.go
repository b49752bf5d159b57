package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A docPage is a page of the documentation with its snippets.
type docPage struct {
	file     string // path below the module root
	snippets []docSnippet
	links    []docSnippet // whose text is the target
	// fixtures are files from hidden comments that the snippets need, by name.
	fixtures map[string]string
	preamble string // precedes each python snippet that does not call pipeline()
}

// A docSnippet is a block of code. The words after its language are marks: "file=NAME" names
// the file that it shows, "add=NAME" the file that it is appended to, and "wrong" means that
// it must be invalid. For Go, the mark is the file that contains it.
type docSnippet struct {
	line  int
	lang  string
	marks []string
	text  string
}

// mark returns the value of the mark NAME=VALUE.
func (s *docSnippet) mark(name string) string {
	for _, m := range s.marks {
		if value, ok := strings.CutPrefix(m, name+"="); ok {
			return value
		}
	}
	return ""
}

var (
	docLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	docCode = regexp.MustCompile("`[^`]*`")
)

// readPage reads a page. In addition to fenced blocks, indented blocks are snippets of the
// language sh, as in READMEs. Comments contain what readers need not see:
//
//	<!-- file NAME          a file that the snippets of the page need
//	TEXT
//	-->
//	<!-- preamble           what precedes the page's fragments
//	TEXT
//	-->
func readPage(t *testing.T, root, file string) *docPage {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	p := &docPage{file: file, fixtures: map[string]string{}, preamble: "pipeline(\"docs\")\n"}
	lines := strings.Split(string(data), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "```"):
			s := docSnippet{line: i + 1}
			if words := strings.Fields(line[3:]); len(words) > 0 {
				s.lang, s.marks = words[0], words[1:]
			}
			s.text, i = until(t, p, lines, i, "```")
			p.snippets = append(p.snippets, s)
		case strings.HasPrefix(line, "<!--") && !strings.Contains(line, "-->"):
			kind, name, _ := strings.Cut(strings.TrimSpace(line[4:]), " ")
			var text string
			text, i = until(t, p, lines, i, "-->")
			switch kind {
			case "file":
				p.fixtures[name] = text
			case "preamble":
				p.preamble = text
			}
		case strings.HasPrefix(line, "    ") && (i == 0 || strings.TrimSpace(lines[i-1]) == ""):
			s := docSnippet{line: i + 1, lang: "sh"}
			for ; i < len(lines) && strings.HasPrefix(lines[i], "    "); i++ {
				s.text += lines[i][4:] + "\n"
			}
			i--
			p.snippets = append(p.snippets, s)
		default:
			for _, m := range docLink.FindAllStringSubmatch(docCode.ReplaceAllString(line, ""), -1) {
				p.links = append(p.links, docSnippet{line: i + 1, text: m[1]})
			}
		}
	}
	return p
}

// until returns the lines between the one with the number from and the end.
func until(t *testing.T, p *docPage, lines []string, from int, end string) (string, int) {
	t.Helper()
	for i := from + 1; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) == end {
			return strings.Join(lines[from+1:i], "\n") + "\n", i
		}
	}
	t.Fatalf("%s:%d: there is no %q after this", p.file, from+1, end)
	return "", 0
}

// headings returns the anchors of a page: those that are generated from its headings, and
// those that it defines itself.
func headings(text string) map[string]bool {
	anchors := map[string]bool{}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, `<a id="`); ok {
			id, _, _ := strings.Cut(rest, `"`)
			anchors[id] = true
		}
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			anchor := strings.Map(func(r rune) rune {
				switch {
				case r == ' ':
					return '-'
				case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
					return r
				}
				return -1
			}, strings.ToLower(strings.TrimSpace(title)))
			anchors[anchor] = true
		}
	}
	return anchors
}

// shellCommands splits a shell script into commands of words. A quoted string is one word;
// substitutions are not expanded.
func shellCommands(text string) [][]string {
	text = strings.ReplaceAll(text, "\\\n", " ")
	var all [][]string
	var command []string
	var word strings.Builder
	var quote rune
	open := false // a word has begun
	endWord := func() {
		if open {
			command = append(command, word.String())
		}
		word.Reset()
		open = false
	}
	endCommand := func() {
		endWord()
		if len(command) > 0 {
			all = append(all, command)
		}
		command = nil
	}
	comment := false
	for _, r := range text {
		switch {
		case comment:
			comment = r != '\n'
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, open = r, true
		case strings.ContainsRune("\n|&;()<>", r):
			endCommand()
		case r == '#' && !open:
			endCommand()
			comment = true
		case r == ' ' || r == '\t':
			endWord()
		default:
			word.WriteRune(r)
			open = true
		}
	}
	endCommand()
	return all
}
