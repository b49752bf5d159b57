package watch

import (
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A temporary is a kind of file that editors and tools create next to the file that
// they change.
type temporary struct {
	who  string
	name string // pattern of its name, as of path.Match
	// Whether it exists as long as the file is open; otherwise only during a save.
	open bool
	// How it is verified if it exists for long: its content starts with this, it is a
	// symbolic link, or the file that the * in its name matches is next to it.
	starts string
	link   bool
	beside bool
}

// temporaries lists the temporary files of known editors and tools. See [Files] for how
// they are handled.
var temporaries = []temporary{
	{who: "vim, neovim: swap file", name: ".*.sw[a-p]", open: true, starts: "b0VIM "},
	{who: "vim, neovim: swap file of a file that starts with a dot", name: ".sw[a-p]", open: true, starts: "b0VIM "},
	{who: "Emacs: lock", name: ".#*", open: true, link: true},
	{who: "Emacs: what is not saved yet", name: "#*#", open: true, beside: true},
	{who: "Kate: swap file", name: ".*.kate-swp", open: true, beside: true},
	{who: "LibreOffice: lock", name: ".~lock.*#", open: true, beside: true},

	{who: "vim: whether it may write here", name: "4913"},
	{who: "vim, Emacs, nano and others: backup", name: "*~"},
	{who: "JetBrains: safe write", name: "*___jb_tmp___"},
	{who: "JetBrains: safe write", name: "*___jb_old___"},
	{who: "GLib, gedit: safe write", name: ".goutputstream-*"},
	{who: "Sublime Text: safe write", name: ".subl*.tmp"},
	{who: "Visual Studio: safe write", name: "*~*.TMP"},
	{who: "many: safe write", name: "*.tmp"},
	{who: "Node.js write-file-atomic", name: "*.tmp.[0-9]*"},
	{who: "Go tools: umask", name: "*-go-tmp-umask"},
	{who: "GNU sed -i", name: "sed[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]"},
	{who: "rsync", name: ".*.[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]"},
	{who: "syncthing", name: ".syncthing.*.tmp"},
	{who: "NFS: removed while open", name: ".nfs[0-9a-f]*"},
	{who: "Emacs: flymake", name: "flymake_*"},
	{who: "Emacs: flymake", name: "*_flymake.*"},
}

// left is how long a file with a temporary name must be unchanged to be treated like
// any other file.
const left = 2 * time.Second

// temporaryName returns the kinds of temporary files that have such names.
func temporaryName(name string) (of []temporary) {
	for _, t := range temporaries {
		if ok, _ := path.Match(t.name, name); ok {
			of = append(of, t)
		}
	}
	return of
}

// temporaryFile reports whether the file in the directory dir, which has existed for
// long, is verified to belong to an editor that has another file open.
func temporaryFile(dir, name string) bool {
	if name[0] != '.' && name[0] != '#' { // all of them start so
		return false
	}
	for _, t := range temporaryName(name) {
		if t.open && t.proven(dir, name) {
			return true
		}
	}
	return false
}

func (t temporary) proven(dir, name string) bool {
	file := filepath.Join(dir, name)
	info, err := os.Lstat(file)
	switch {
	case err != nil:
		return false
	case t.link:
		return info.Mode()&os.ModeSymlink != 0
	case t.beside:
		before, after, _ := strings.Cut(t.name, "*")
		_, err := os.Lstat(filepath.Join(dir, name[len(before):len(name)-len(after)]))
		return err == nil
	case !info.Mode().IsRegular():
		return false
	}
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(t.starts))
	_, err = io.ReadFull(f, head)
	return err == nil && bytes.Equal(head, []byte(t.starts))
}
