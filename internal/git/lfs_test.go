package git_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/internal/git"
)

// lfs is a small git-lfs: it replaces pointers by the content of the files in $LFS_STORE, by
// the long-running filter protocol of gitattributes(5). There must be a remote, from whose URL
// the real one makes that of its server.
func lfs(args []string) error {
	if len(args) != 1 || args[0] != "filter-process" {
		return fmt.Errorf("git-lfs: unknown arguments %q", args)
	}
	if url, err := exec.Command("git", "config", "remote.origin.url").Output(); err != nil || len(url) == 0 {
		return errors.New("git-lfs: there is no remote")
	}
	if _, err := readList(); err != nil { // git-filter-client, version
		return err
	}
	writeList("git-filter-server", "version=2")
	if _, err := readList(); err != nil { // the capabilities
		return err
	}
	writeList("capability=clean", "capability=smudge")
	for {
		command, err := readList()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var pointer strings.Builder
		packets, err := readList()
		if err != nil {
			return err
		}
		for _, p := range packets {
			pointer.WriteString(p)
		}
		if !slices.Contains(command, "command=smudge\n") {
			return fmt.Errorf("git-lfs: unexpected %q", command)
		}
		content := []byte(pointer.String())
		if id := oid.FindStringSubmatch(pointer.String()); id != nil { // others stay as they are
			content, err = os.ReadFile(filepath.Join(os.Getenv("LFS_STORE"), id[1]))
		}
		if err != nil {
			name := strings.TrimSpace(strings.TrimPrefix(command[1], "pathname="))
			return fmt.Errorf("Error downloading object: %s: Object does not exist on the server\n\nErrors logged to x.log", name)
		}
		writeList("status=success")
		writeList(string(content))
		writeList()
	}
}

var oid = regexp.MustCompile(`(?m)^oid sha256:([0-9a-f]{64})$`)

// readList reads packets until a flush packet.
func readList() (list []string, err error) {
	for {
		length := make([]byte, 4)
		if _, err := io.ReadFull(os.Stdin, length); err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(string(length), 16, 32)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return list, nil
		}
		packet := make([]byte, n-4)
		if _, err := io.ReadFull(os.Stdin, packet); err != nil {
			return nil, err
		}
		list = append(list, string(packet))
	}
}

// writeList writes packets and a flush packet.
func writeList(list ...string) {
	for _, p := range list {
		fmt.Printf("%04x%s", len(p)+4, p)
	}
	fmt.Print("0000")
}

// large returns the pointer of a file in Git LFS, and puts its content into the store.
func large(t *testing.T, store, content string) (pointer string) {
	t.Helper()
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	if store != "" {
		if err := os.WriteFile(filepath.Join(store, id), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", id, len(content))
}

// TestFetchAllLFS: with git-lfs, files have their content, whatever the user's settings are.
// Without it, their paths are returned, and the checkout is created again once it is
// installed.
func TestFetchAllLFS(t *testing.T) {
	s := newServer(t)
	store := t.TempDir()
	t.Setenv("LFS_STORE", store)
	shop, images := s.repository("shop.git"), s.repository("images.git")
	attributes := "*.bin filter=lfs diff=lfs merge=lfs -text\n"
	inImages := images.commit(map[string]string{".gitattributes": attributes, "logo.bin": large(t, store, "the logo")})
	files := map[string]string{".gitattributes": attributes, "a/b.bin": large(t, store, "large"), "text": large(t, store, "not in LFS"), "short.bin": "not a pointer"}
	commit := shop.commit(files, sub{name: "images", path: "static/images", url: "../images.git", commit: inImages})

	path := os.Getenv("PATH")
	without := filepath.Join(t.TempDir(), "bin") // git, and no git-lfs
	with := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(with, "git-lfs"))
	}
	if err != nil {
		t.Fatal(err)
	}
	onlyGit(t, without)

	checkouts := t.TempDir()
	t.Setenv("PATH", without)
	// The settings of whoever had it once.
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(t.TempDir(), "config"))
	text := "[filter \"lfs\"]\n\tprocess = git-lfs filter-process\n\tsmudge = git-lfs smudge -- %f\n\trequired = true\n"
	if err := os.WriteFile(os.Getenv("GIT_CONFIG_GLOBAL"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one reads what the first one has written
		c := &git.Checkouts{Dir: checkouts, Notice: func(text string) { t.Error(text) }}
		got, err := get(t.Context(), c, shop.url, commit)
		if err != nil || !slices.Equal(got.Pointers, []string{"a/b.bin", "static/images/logo.bin"}) {
			t.Fatalf("without git-lfs: %+v, %v", got, err)
		}
	}
	c := &git.Checkouts{Dir: checkouts, Notice: func(text string) { t.Error(text) }}
	if _, err := get(t.Context(), c, shop.url, commit); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", with+string(filepath.ListSeparator)+path)
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	got, err := get(t.Context(), c, shop.url, commit)
	if err != nil || len(got.Pointers) > 0 {
		t.Fatalf("with git-lfs: %+v, %v", got, err)
	}
	is := s.files(got.Dir)
	for name, want := range map[string]string{"a/b.bin": "large", "static/images/logo.bin": "the logo", "text": files["text"], "short.bin": "not a pointer"} {
		if is[name] != want {
			t.Errorf("%s has %q, want %q", name, is[name], want)
		}
	}

	// The server of large files does not have one.
	lost := shop.commit(map[string]string{"lost.bin": large(t, "", "lost")})
	_, err = get(t.Context(), c, shop.url, lost)
	if err == nil || !strings.HasPrefix(err.Error(), "git checkout: lost.bin: smudge filter lfs failed: Error downloading object: lost.bin: Object") {
		t.Errorf("with a lost file: %v", err)
	}
}

// onlyGit creates a directory of programs that has git and what it runs.
func onlyGit(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"git", "sh", "sed", "uname", "basename", "dirname", "cat", "env"} {
		program, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}
