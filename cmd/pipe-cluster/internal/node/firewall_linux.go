package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// nft applies rules atomically.
func nft(ctx context.Context, rules string) error {
	path, err := find("nft")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(out.String()))
	}
	return nil
}

// forwardChain is the chain of iptables for forwarded packets. Docker makes it drop all packets except
// its own, and another table cannot accept a packet that one table drops.
const forwardChain = "ip filter FORWARD"

// passFirewall makes the chain of iptables accept packets of pods, if the chain exists.
func passFirewall(ctx context.Context, pods string) error {
	if err := unpassFirewall(ctx); err != nil {
		return err
	}
	if chain, err := forwardRules(ctx); err != nil || chain == "" {
		return err
	}
	return nft(ctx, fmt.Sprintf("insert rule %[1]s ip saddr %[2]s counter accept comment %[3]q\ninsert rule %[1]s ip daddr %[2]s counter accept comment %[3]q\n",
		forwardChain, pods, table))
}

// unpassFirewall removes the rules of passFirewall.
func unpassFirewall(ctx context.Context) error {
	chain, err := forwardRules(ctx)
	if err != nil {
		return err
	}
	var rules strings.Builder
	for _, handle := range ownRules(chain) {
		fmt.Fprintf(&rules, "delete rule %s handle %s\n", forwardChain, handle)
	}
	if rules.Len() == 0 {
		return nil
	}
	return nft(ctx, rules.String())
}

// forwardRules lists the chain with the handles of its rules; empty if it does not exist.
func forwardRules(ctx context.Context) (string, error) {
	path, err := find("nft")
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, append([]string{"--handle", "list", "chain"}, strings.Fields(forwardChain)...)...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", nil
	}
	return string(out), err
}

// ownRules returns the handles of the rules that have our comment.
func ownRules(chain string) []string {
	var handles []string
	for line := range strings.Lines(chain) {
		rule, handle, ok := strings.Cut(strings.TrimSpace(line), " # handle ")
		if ok && strings.HasSuffix(rule, fmt.Sprintf("comment %q", table)) {
			handles = append(handles, handle)
		}
	}
	return handles
}
