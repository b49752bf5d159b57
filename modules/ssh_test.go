package modules_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// key generates a key and writes it to a file for ssh.
func key(t *testing.T) (signer ssh.Signer, file string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return signer, file
}

// sshServer starts an SSH server on which the holder of a key can run git
// upload-pack. It returns the server's address.
func sshServer(t *testing.T, host, client ssh.Signer) string {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "git" || string(k.Marshal()) != string(client.PublicKey().Marshal()) {
			return nil, errors.New("not this one")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go sshSession(c, config)
		}
	}()
	return l.Addr().String()
}

func sshSession(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		ch, requests, err := n.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			command, ok := strings.CutPrefix(string(r.Payload[min(4, len(r.Payload)):]), "git-upload-pack ")
			if r.Type != "exec" || !ok {
				_ = r.Reply(r.Type == "env", nil)
				continue
			}
			_ = r.Reply(true, nil)
			cmd := exec.Command("git", "upload-pack", strings.Trim(command, "'"))
			cmd.Stdin, cmd.Stdout, cmd.Stderr = ch, ch, ch.Stderr()
			status := struct{ Status uint32 }{}
			if cmd.Run() != nil {
				status.Status = 1
			}
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(status))
			_ = ch.Close()
		}
	}
}

// TestSSH uses git over the ssh of this machine: with a key that the server accepts,
// with one that it rejects, and with an unknown host key, which must be an error and
// not a prompt.
func TestSSH(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), "ssh") {
			t.Fatal(err)
		}
		t.Skipf("git over ssh needs ssh: %v", err)
	}
	host, _ := key(t)
	client, file := key(t)
	_, other := key(t)
	addr := sshServer(t, host, client)
	known := filepath.Join(t.TempDir(), "known")
	if err := os.WriteFile(known, []byte(knownhosts.Line([]string{addr}, host.PublicKey())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRepo(t, map[string]string{"web.star": lib, "inner/name.star": `prefix = "ssh-"`})
	module := fmt.Sprintf("git+ssh://git@%s%s@main", addr, r.dir)
	p := project(t, fmt.Sprintf("load(%q, \"api\")\npipeline(\"x\")\napi(\"a\")\n", module+"//web.star"))
	with := func(key, known string) {
		t.Setenv("GIT_SSH_COMMAND", fmt.Sprintf("ssh -F none -i %s -o IdentitiesOnly=yes -o IdentityAgent=none -o GlobalKnownHostsFile=none -o UserKnownHostsFile=%s", key, known))
	}

	with(file, filepath.Join(t.TempDir(), "nobody"))
	if _, err := p.Sync(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "fetch "+module+": git ls-remote: ") || !strings.Contains(err.Error(), "Host key verification failed.") {
		t.Errorf("Sync from an unknown host = %v", err)
	}
	with(other, known)
	if _, err := p.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "Permission denied (publickey)") {
		t.Errorf("Sync with a wrong key = %v", err)
	}
	if _, err := os.Lstat(p.LockFile()); err == nil {
		t.Error("a failed Sync wrote a lock file")
	}
	with(file, known)
	if list := mustSync(t, p); list[0].Commit != r.git("rev-parse", "HEAD") {
		t.Errorf("Sync = %+v", list)
	}
	if got, err := eval(t, p); err != nil || got != "ssh-a" {
		t.Errorf("Eval = %q, %v", got, err)
	}
}
