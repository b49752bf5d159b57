package local

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// answerTime is how long a cluster may take to answer that it is there.
const answerTime = 10 * time.Second

// nextCluster is what to do without a cluster.
const nextCluster = "start the cluster, or use another one"

// noCluster is the error of a cluster in whose place there can be another one.
func noCluster(err error, next string) error {
	return &UnavailableError{"cluster", err, next, []string{"Kubeconfig", "Context", "Local"}}
}

// cluster finds the cluster that opts name, starts the local one if that is
// asked for, and makes sure that it answers.
func cluster(ctx context.Context, opts Options) (*rest.Config, error) {
	config, where, err := find(ctx, opts)
	if err != nil || opts.Local {
		return config, err
	}
	if err := answers(ctx, config); err != nil {
		return nil, noCluster(fmt.Errorf("%s (%s): %w", config.Host, where, err), afterNoAnswer(err))
	}
	return config, nil
}

// errCredentials says that a server answers, but not to us.
var errCredentials = errors.New("it does not accept the credentials of the kubeconfig")

// A wrongConfigError is a kubeconfig with which no server can be asked.
type wrongConfigError struct{ error }

func (e wrongConfigError) Unwrap() error { return e.error }

// afterNoAnswer says what to do about an error of [answers].
func afterNoAnswer(err error) string {
	var wrong wrongConfigError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &wrong):
		return "correct the kubeconfig, or use another one"
	case errors.As(err, &cert):
		return "get a new kubeconfig: its certificate-authority did not issue the certificate of this server; or use another one"
	case errors.Is(err, errCredentials):
		return "log in to the cluster again, or use another kubeconfig"
	}
	return nextCluster
}

// find finds the cluster that opts name, and says where. The local one is
// started if that is asked for, and answers.
func find(ctx context.Context, opts Options) (config *rest.Config, where string, err error) {
	if opts.Local {
		config, err = localCluster(ctx, opts)
		return config, "local", err
	}
	if config, _, where, err = kubeconfig(opts.Kubeconfig, opts.Context); err != nil {
		err = noCluster(err, "name a kubeconfig or a context of it, or use a cluster on this machine")
	}
	return config, where, err
}

// kubeconfig reads the configuration of a cluster, and returns the name of the
// context that it is of, and the words for where it is from.
func kubeconfig(file, contextName string) (config *rest.Config, name, where string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName})
	files := strings.Join(rules.GetLoadingPrecedence(), ", ")
	if file != "" {
		files = file
	}
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, "", "", fmt.Errorf("kubeconfig %s: %w", files, err)
	}
	if contextName == "" {
		contextName = raw.CurrentContext
	}
	where = fmt.Sprintf("context %q of %s", contextName, files)
	switch {
	case len(raw.Contexts) == 0 && !anyFile(rules.GetLoadingPrecedence()):
		return nil, "", "", fmt.Errorf("no kubeconfig: there is no file %s", files)
	case len(raw.Contexts) == 0:
		return nil, "", "", fmt.Errorf("no kubeconfig: %s has no context", files)
	case contextName == "":
		return nil, "", "", fmt.Errorf("kubeconfig %s has no current context; it has %s", files, names(raw.Contexts))
	case raw.Contexts[contextName] == nil:
		return nil, "", "", fmt.Errorf("kubeconfig %s has no context %q; it has %s", files, contextName, names(raw.Contexts))
	}
	if config, err = loader.ClientConfig(); err != nil {
		return nil, "", "", fmt.Errorf("%s: %w", where, err)
	}
	return config, contextName, where, nil
}

// anyFile says whether any of these files is there.
func anyFile(files []string) bool {
	return slices.ContainsFunc(files, func(file string) bool {
		_, err := os.Stat(file)
		return !errors.Is(err, os.ErrNotExist)
	})
}

// answers makes sure that the server is there and lets us in.
func answers(ctx context.Context, config *rest.Config) error {
	ctx, stop := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no answer within %s", answerTime))
	defer stop()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return wrongConfigError{err}
	}
	url, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return wrongConfigError{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url.JoinPath("version").String(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection is used again
	switch resp.StatusCode {
	case http.StatusOK, http.StatusForbidden: // it answers; what we may do there is seen when we do it
		return nil
	case http.StatusUnauthorized:
		return errCredentials
	case http.StatusBadRequest: // what a server that wants TLS says without
		return wrongConfigError{fmt.Errorf("it answers with %s: check the server's address in the kubeconfig, and that it begins with https", resp.Status)}
	}
	return fmt.Errorf("it answers with %s", resp.Status)
}

// localCluster returns the local Kubernetes, which it starts unless it runs.
func localCluster(ctx context.Context, opts Options) (*rest.Config, error) {
	dir := filepath.Join(opts.Home, "cluster")
	config, _, _, err := kubeconfig(filepath.Join(dir, "kubeconfig"), "")
	if err == nil {
		if err = answers(ctx, config); err == nil {
			return config, opts.configureNode(dir)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if opts.Passive {
		return nil, &UnavailableError{"cluster", fmt.Errorf("the local Kubernetes in %s does not run", dir), "a run starts it, and so does \"pipe-cluster up\"", nil}
	}
	program, err := findProgram(opts.Executable, "pipe-cluster")
	if err != nil {
		return nil, &UnavailableError{"cluster", fmt.Errorf("the local Kubernetes needs %w", err), "put pipe-cluster beside pipe or on the PATH: \"make cluster\" builds it from the sources of pipe", nil}
	}
	file, err := up(ctx, program, dir, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		logs := filepath.Join(dir, "logs")
		if _, missing := os.Stat(logs); missing != nil {
			return nil, &UnavailableError{"cluster", err, "make the directory " + opts.Home + " writable, or use another one", []string{"Home"}}
		}
		return nil, &UnavailableError{"cluster", err, "its logs are in " + logs, nil}
	}
	if config, _, _, err = kubeconfig(file, ""); err != nil {
		return nil, err
	}
	return config, opts.configureNode(dir)
}

// up runs "pipe-cluster up", passes on its progress, and returns the path of the
// kubeconfig. If ctx is cancelled, it asks the program to stop and waits for it.
func up(ctx context.Context, program, dir string, opts Options) (string, error) {
	opts.progress("starting the local Kubernetes")
	cmd := exec.CommandContext(ctx, program, "up", "--dir", dir, "--output", "json")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	messages, stderr := io.Pipe()
	cmd.Stderr = stderr
	var last []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(messages)
		for lines.Scan() {
			line := strings.TrimPrefix(lines.Text(), "pipe-cluster: ")
			last = append(last[max(0, len(last)-9):], line)
			opts.progress("local Kubernetes: " + line)
		}
		_, _ = io.Copy(io.Discard, messages) // after a line that is too long
	}()
	err := cmd.Run()
	_ = stderr.Close() // a pipe's never fails
	<-done
	if err != nil {
		return "", fmt.Errorf("%s up: %w\n%s", program, err, strings.Join(last, "\n"))
	}
	var started struct {
		Kubeconfig string `json:"kubeconfig"`
		Impossible string `json:"impossible"` // why the node is not a real one
	}
	if err := json.Unmarshal(out.Bytes(), &started); err != nil {
		return "", fmt.Errorf("%s up: result: %w; pipe and pipe-cluster must be of the same version", program, err)
	}
	if started.Impossible != "" {
		opts.notice("local Kubernetes: a real node is not possible here: " + started.Impossible)
		opts.notice("local Kubernetes: so the node is simulated: pods go Ready without being run, and nothing answers in them")
	}
	return started.Kubeconfig, nil
}
