package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/local"
)

// The first source that has a secret wins. A value never shows itself.
func ExampleSecrets() {
	sources := local.Secrets{
		local.EnvSecrets("SHOP_", []string{"SHOP_SMTP_PASSWORD=one"}),
		local.EnvSecrets("", []string{"SMTP_PASSWORD=two", "STRIPE_KEY=three"}),
	}
	smtp, err := sources.Secret(context.Background(), plan.SecretRef{Name: "smtp", Key: "password"})
	fmt.Println(smtp, smtp.Reveal(), err)
	stripe, err := sources.Secret(context.Background(), plan.SecretRef{Name: "stripe-key"})
	fmt.Println(stripe, stripe.Reveal(), err)
	_, err = sources.Secret(context.Background(), plan.SecretRef{Name: "sentry"})
	fmt.Println(errors.Is(err, runtime.ErrNotFound))
	// Output:
	// REDACTED one <nil>
	// REDACTED three <nil>
	// true
}

func ExampleFileSecrets() {
	dir, err := os.MkdirTemp("", "secrets")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{
		"secrets.yaml": "stripe-key: one\nsmtp: {user: shop, password: two}\n",
		"secrets.env":  "STRIPE_KEY=three\nsentry-dsn=four\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			fmt.Println(err)
			return
		}
		source, err := local.FileSecrets(filepath.Join(dir, name))
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, ref := range []plan.SecretRef{{Name: "stripe-key"}, {Name: "smtp", Key: "password"}, {Name: "sentry-dsn"}} {
			if value, err := (local.Secrets{source}).Secret(context.Background(), ref); err == nil {
				fmt.Println(name, ref.Name, value.Reveal())
			}
		}
	}
	// Unordered output:
	// secrets.yaml stripe-key one
	// secrets.yaml smtp two
	// secrets.env stripe-key three
	// secrets.env sentry-dsn four
}

// Of a part that cannot be used it is said which, why, and what to do.
func ExampleUnavailableError() {
	_, err := local.Open(context.Background(), local.Options{Kubeconfig: "no-such-file", Passive: true})
	var gone *local.UnavailableError
	if errors.As(err, &gone) {
		fmt.Println(gone.Part)
		fmt.Println(gone.Next)
		fmt.Println(gone.Options)
	}
	// Output:
	// cluster
	// name a kubeconfig or a context of it, or use a cluster on this machine
	// [Kubeconfig Context Local]
}
