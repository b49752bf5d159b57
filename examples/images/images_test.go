package main

import (
	"bytes"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestMain lets the test binary be the background process that up starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

// need skips a test, or fails it where PIPE_TEST_REQUIRE lists what is missing.
func need(t *testing.T, what string, ok bool, why string) {
	t.Helper()
	if ok {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("PIPE_TEST_REQUIRE"), ","), what) {
		t.Fatalf("%s is required: %s", what, why)
	}
	t.Skip(why)
}

// The images are made once for all tests that look at real ones.
func realImages(t *testing.T) (Store, []string) {
	t.Helper()
	_, err := exec.LookPath("apt-get")
	need(t, "real", err == nil, "images are made from packages, and apt-get is not here")
	s := Store(t.TempDir())
	var out bytes.Buffer
	made, err := Make(t.Context(), s, &out)
	need(t, "real", err == nil || !strings.Contains(err.Error(), "Temporary failure"), "no packages can be fetched")
	if err != nil {
		t.Fatalf("Make: %v\n%s", err, &out)
	}
	return s, made
}

func pull(t *testing.T, s Store, image string) v1.Image {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("pull %s: %v", image, err)
	}
	return img
}

// unpacked is an image as the root folder of a container.
func unpacked(t *testing.T, s Store, image string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if _, err := unpack(s, image, root); err != nil {
		t.Fatal(err)
	}
	// The folders above are the test's alone; servers do not run as its user.
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil {
			err = os.Chmod(dir, info.Mode()|0o111)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// start runs the entrypoint of an unpacked image.
func start(t *testing.T, root string, env []string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := container(root, env, append([]string{"docker-entrypoint.sh"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, &out
}

// stop sends the signal and returns how the process ended.
func stop(t *testing.T, cmd *exec.Cmd, signal os.Signal, out *bytes.Buffer) int {
	t.Helper()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the state tells how it ended
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		<-done
		t.Fatalf("%v: still running after 30 s\n%s", signal, out)
	}
	return cmd.ProcessState.ExitCode()
}

// inside runs a program of an unpacked image.
func inside(root string, env []string, args ...string) (string, error) {
	out, err := container(root, env, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// until tries something for a minute.
func until(t *testing.T, what string, out *bytes.Buffer, try func() error) {
	t.Helper()
	var err error
	// Another process gets ready; it tells nobody.
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v\n%s", what, err, out)
}

func TestImages(t *testing.T) {
	need(t, "real", os.Geteuid() == 0, "containers are run as root")
	s, made := realImages(t)
	var names []string
	tags := map[string]string{}
	for _, m := range made {
		name, _, _ := strings.Cut(m, ":")
		names = append(names, name)
		tags[name] = m
	}
	if want := []string{"debian", "postgres", "redis", "golang"}; !slices.Equal(names, want) {
		t.Fatalf("Make made %v, want %v", names, want)
	}

	t.Run("again nothing is made", func(t *testing.T) {
		var out bytes.Buffer
		again, err := Make(t.Context(), s, &out)
		if err != nil || !slices.Equal(again, made) || out.Len() > 0 {
			t.Errorf("Make again = %v, %v, printed %q; want %v and no word", again, err, &out, made)
		}
	})
	t.Run("valid", func(t *testing.T) {
		for _, image := range made {
			layers, err := pull(t, s, image).Layers()
			if err != nil {
				t.Fatalf("%s: %v", image, err)
			}
			for i, l := range layers {
				content, err := l.Uncompressed()
				if err != nil {
					t.Fatalf("%s: layer %d: %v", image, i, err)
				}
				got, _, err := v1.SHA256(content) // of all that is read, which is checked against the layer's digest
				content.Close()
				if want, _ := l.DiffID(); err != nil || got != want {
					t.Errorf("%s: layer %d holds %s, %v; its configuration says %s", image, i, got, err, want)
				}
			}
		}
	})
	t.Run("try", func(t *testing.T) { testTry(t, s) })
	t.Run("postgres", func(t *testing.T) { testPostgres(t, s, tags["postgres"]) })
	t.Run("redis", func(t *testing.T) { testRedis(t, s, tags["redis"]) })
	t.Run("golang", func(t *testing.T) { testGolang(t, s, tags["golang"]) })
}

func testTry(t *testing.T, s Store) {
	var out bytes.Buffer
	script := `echo "$PIPE_TEST_POSTGRES $PIPE_TEST_REDIS"; printf 'PING\r\n' > /dev/tcp/${PIPE_TEST_REDIS/://} && exit 7`
	err := try(t.Context(), s, []string{"bash", "-c", script}, &out, &out)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("try = %v, want the exit status of the command, 7: %s", err, &out)
	}
	if !regexp.MustCompile(`^postgres://\S+@127\.0\.0\.1:\d+/postgres 127\.0\.0\.1:\d+\n$`).MatchString(out.String()) {
		t.Errorf("the command was told %q", &out)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(out.String()), " ")
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Errorf("Redis runs on at %s", address)
	}
}

func imageEnv(t *testing.T, s Store, image string, more ...string) []string {
	t.Helper()
	config, err := pull(t, s, image).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return append(slices.Clone(config.Config.Env), more...)
}

func testPostgres(t *testing.T, s Store, image string) {
	root := unpacked(t, s, image)
	port := portFor(t)
	// A volume as a node makes it: a folder of root, with the data below it.
	env := imageEnv(t, s, image, "POSTGRES_USER=shop", "POSTGRES_PASSWORD=it's a secret", "POSTGRES_DB=goods",
		"PGDATA=/var/lib/postgresql/data/pgdata", "PGPORT="+port)
	if err := errors.Join(os.Chown(filepath.Join(root, "var/lib/postgresql/data"), 0, 0), os.Chmod(filepath.Join(root, "var/lib/postgresql/data"), 0o755)); err != nil {
		t.Fatal(err)
	}
	psql := func(password, query string) (string, error) {
		return inside(root, append(slices.Clone(env), "PGPASSWORD="+password), "psql", "-h", "127.0.0.1", "-U", "shop", "-d", "goods", "-Atc", query)
	}
	ready := func() error {
		_, err := inside(root, env, "pg_isready", "-h", "127.0.0.1", "-U", "shop", "-d", "goods")
		return err
	}

	if out, err := inside(root, imageEnv(t, s, image), "docker-entrypoint.sh", "postgres"); err == nil || !strings.Contains(out, "POSTGRES_PASSWORD is not set") {
		t.Errorf("without a password: %v: %s", err, out)
	}

	cmd, out := start(t, root, env, "postgres")
	until(t, "pg_isready", out, ready)
	if got, err := psql("it's a secret", "create table goods (name text); insert into goods values ('brûlot'); select name, current_user from goods"); err != nil || !strings.HasSuffix(got, "brûlot|shop") {
		t.Errorf("psql = %q, %v", got, err)
	}
	if got, err := psql("wrong", "select 1"); err == nil || !strings.Contains(got, "password authentication failed") {
		t.Errorf("psql with a wrong password = %q, %v", got, err)
	}
	if got, err := psql("it's a secret", "show jit_provider"); err != nil || got == "" {
		t.Errorf("show jit_provider = %q, %v", got, err)
	}
	if got, err := psql("it's a secret", "set jit_above_cost=0; select count(*) from generate_series(1,10)"); err != nil || !strings.HasSuffix(got, "10") {
		t.Errorf("a query worth compiling = %q, %v", got, err)
	}
	if code := stop(t, cmd, syscall.SIGTERM, out); code != 0 {
		t.Errorf("SIGTERM: exit status %d\n%s", code, out)
	}
	if strings.Contains(out.String(), "it's a secret") {
		t.Errorf("the password is printed:\n%s", out)
	}

	// A full volume is kept, also with another password in the environment.
	cmd, out = start(t, root, append(slices.Clone(env), "POSTGRES_PASSWORD=other"), "postgres")
	until(t, "pg_isready again", out, ready)
	if got, err := psql("it's a secret", "select name from goods"); err != nil || got != "brûlot" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	if strings.Contains(out.String(), "making a database") {
		t.Errorf("a full volume was made again:\n%s", out)
	}
	// As a node does when a container does not end, or the power goes.
	if code := stop(t, cmd, syscall.SIGKILL, out); code == 0 {
		t.Error("SIGKILL: exit status 0")
	}
	cmd, out = start(t, root, env, "postgres")
	until(t, "pg_isready after a kill", out, ready)
	if got, err := psql("it's a secret", "select name from goods"); err != nil || got != "brûlot" {
		t.Errorf("after a kill: %q, %v", got, err)
	}
	if code := stop(t, cmd, syscall.SIGINT, out); code != 0 {
		t.Errorf("SIGINT: exit status %d\n%s", code, out)
	}

	t.Run("killed while it initialises", func(t *testing.T) {
		data := filepath.Join(root, "var/lib/postgresql/data/pgdata")
		for i := range 4 {
			if err := os.RemoveAll(data); err != nil {
				t.Fatal(err)
			}
			cmd, out := start(t, root, env, "postgres")
			// Later each time, so that it is in another step.
			time.Sleep(time.Duration(i) * 450 * time.Millisecond)
			stop(t, cmd, syscall.SIGKILL, out)
			cmd, out = start(t, root, env, "postgres")
			until(t, "pg_isready", out, ready)
			if got, err := psql("it's a secret", "select current_database()"); err != nil || got != "goods" {
				t.Errorf("killed after %d ms: %q, %v\n%s", i*450, got, err, out)
			}
			stop(t, cmd, syscall.SIGINT, out)
		}
	})
}

func testRedis(t *testing.T, s Store, image string) {
	root := unpacked(t, s, image)
	env := imageEnv(t, s, image)
	port := portFor(t)
	cli := func(args ...string) (string, error) {
		return inside(root, env, append([]string{"redis-cli", "-h", "127.0.0.1", "-p", port}, args...)...)
	}
	for round := range 2 {
		// Its data is in /data, where a container starts.
		cmd, out := start(t, root, env, "redis-server", "--port", port, "--dir", "/data", "--appendonly", "yes")
		until(t, "ping", out, func() error {
			got, err := cli("ping")
			if err == nil && got != "PONG" {
				err = errors.New(got)
			}
			return err
		})
		if got, err := cli("incr", "visits"); err != nil || got != strconv.Itoa(round+1) {
			t.Errorf("incr, round %d: %q, %v", round, got, err)
		}
		if got, err := cli("config", "get", "protected-mode"); err != nil || !strings.HasSuffix(got, "no") {
			t.Errorf("protected-mode: %q, %v: other pods would be refused", got, err)
		}
		if code := stop(t, cmd, syscall.SIGTERM, out); code != 0 {
			t.Errorf("SIGTERM: exit status %d\n%s", code, out)
		}
	}
}

func testGolang(t *testing.T, s Store, image string) {
	root := unpacked(t, s, image)
	program := "package main\nimport \"net/http\"\nfunc main() { println(http.StatusTeapot) }\n"
	if err := os.WriteFile(filepath.Join(root, "go/main.go"), []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	env := append(imageEnv(t, s, image), "HOME=/root")
	if out, err := inside(root, env, "sh", "-c", "cd /go && go build -o hello main.go && ./hello"); err != nil || out != "418" {
		t.Errorf("go build = %q, %v", out, err)
	}
	if out, err := inside(root, env, "go", "env", "GOTOOLCHAIN", "CGO_ENABLED", "GOPATH"); err != nil || out != "local\n0\n/go" {
		t.Errorf("go env = %q, %v", out, err)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt")); err != nil {
		t.Error(err)
	}
}

func portFor(t *testing.T) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
