package lsp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/pipelinefile/pipe/interp/lsp"
)

// TestRename runs the archives in testdata/rename. Each is a workspace with a
// cursor in one file; its comment is the new name. The result is either the
// changed files, below "after/", or the error, in the file "refused".
func TestRename(t *testing.T) {
	files, err := filepath.Glob("testdata/rename/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ar := txtar.Parse(data)
			name, _, _ := strings.Cut(strings.TrimSpace(string(ar.Comment)), "\n")
			var disk txtar.Archive
			want, texts := map[string]string{}, map[string]string{}
			refused, where, cursor := "", "", ""
			for _, f := range ar.Files {
				switch after, ok := strings.CutPrefix(f.Name, "after/"); {
				case f.Name == "refused":
					refused = strings.TrimSpace(string(f.Data))
				case ok:
					want[after] = string(f.Data)
				default:
					if strings.Contains(string(f.Data), "|") {
						where, cursor = f.Name, string(f.Data)
						f.Data = []byte(strings.Replace(cursor, "|", "", 1))
					}
					texts[f.Name] = string(f.Data)
					disk.Files = append(disk.Files, f)
				}
			}
			c := start(t, string(txtar.Format(&disk)), lsp.Options{})
			c.open(where)
			at := c.at(where, cursor)
			at["newName"] = name
			a := c.try("textDocument/rename", at)
			if a.Error != nil {
				if a.Error.Message != refused {
					t.Errorf("refused: %s, want %q", a.Error.Message, refused)
				}
				return
			}
			got := map[string]string{}
			for uri, edits := range decode[struct{ Changes map[string][]textEdit }](t, a.Result).Changes {
				name := strings.TrimPrefix(uri, c.uri("")+"/")
				got[name] = apply(t, texts[name], edits)
			}
			diff(t, "renamed", want, got)
			if refused != "" {
				t.Errorf("not refused: %s", refused)
			}
		})
	}
}

func TestPrepareRename(t *testing.T) {
	c := start(t, shop, lsp.Options{})
	got := decode[struct {
		Range       span
		Placeholder string
	}](t, c.call("textDocument/prepareRename", c.show("Pipelinefile", "x = ['🙂', len]; abc = 1; y = [ab|c]\n")))
	if want := (span{position{0, 31}, position{0, 34}}); got.Placeholder != "abc" || got.Range != want {
		t.Errorf("prepareRename: %+v", got)
	}
	for text, want := range map[string]string{
		"pipe|line('a')\n":           "pipeline is a builtin",
		"x = 1 |  + 2\n":             "no name here",
		"x = environment.na|me\n":    "cannot rename the attribute name: its owner is known only when the file runs",
		"stage('o|ne')\n":            "cannot rename a string: releases and namespaces are named after it",
		"x = nob|ody\n":              "nobody is not declared",
		"x = 1\ny = (\nz = x|\n":     "Pipelinefile does not parse: fix that first",
		"load('@std//w|.star', 'a')": "cannot rename a string: releases and namespaces are named after it",
	} {
		a := c.try("textDocument/prepareRename", c.show("Pipelinefile", text))
		if a.Error == nil || a.Error.Message != want {
			t.Errorf("prepareRename(%q): %s %+v, want %s", text, a.Result, a.Error, want)
		}
	}
}
