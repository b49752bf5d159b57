// Command visit fetches the page of a Service of a cluster whose node is this machine, and prints it as text.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "`file`")
	namespace := flag.String("namespace", "shop-demo", "`name`")
	service := flag.String("service", "web", "`name`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *kubeconfig, *namespace, *service, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "visit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, namespace, service string, out io.Writer) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	found, err := client.CoreV1().Services(namespace).Get(ctx, service, metav1.GetOptions{})
	if err != nil {
		return err
	}
	url, err := address(found)
	if err != nil {
		return err
	}
	page, err := fetch(ctx, url)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s answers:\n\n", url)
	for _, line := range text(page) {
		fmt.Fprintln(out, "    "+line)
	}
	host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	fmt.Fprintf(out, "\nOpen that address in a browser on this machine, or from another one http://localhost:8080/ after\n    ssh -L 8080:%s THIS_MACHINE\n", host)
	return nil
}

// address returns the URL of a Service's first port, from inside the cluster or from its node.
func address(s *corev1.Service) (string, error) {
	if len(s.Spec.Ports) == 0 || s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone {
		return "", fmt.Errorf("service %s/%s has no address and port of its own", s.Namespace, s.Name)
	}
	return "http://" + net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(int(s.Spec.Ports[0].Port))) + "/", nil
}

// fetch gets a page. The rules by which a node forwards to new pods are written a moment after the pods are ready, so for
// some seconds it is tried again.
func fetch(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("no answer within 20s"))
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		page, err := get(ctx, client, url)
		if err == nil {
			return page, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s", url, answer.Status)
	}
	return string(body), nil
}

var (
	head = regexp.MustCompile(`(?s)<head>.*</head>`)
	item = regexp.MustCompile(`(?s)<li>.*?</li>`)
	tag  = regexp.MustCompile(`<[^>]*>`)
)

// text returns the lines of a page that hold words; those of an item of a list as one.
func text(page string) []string {
	page = head.ReplaceAllString(page, "")
	page = item.ReplaceAllStringFunc(page, func(li string) string { return strings.Join(words(li), " · ") })
	return words(page)
}

func words(page string) []string {
	var lines []string
	for line := range strings.Lines(page) {
		if line := strings.TrimSpace(html.UnescapeString(tag.ReplaceAllString(line, ""))); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
