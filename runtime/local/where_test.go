package local

import (
	"net"
	"testing"
)

func TestOnThisMachine(t *testing.T) {
	for server, want := range map[string]bool{
		"https://127.0.0.1:6443":      true,
		"https://127.8.7.6":           true,
		"https://localhost:6443":      true,
		"https://[::1]:6443":          true,
		"https://[::ffff:127.0.0.1]":  true,
		"127.0.0.1:6443":              true,
		"https://192.0.2.7:6443":      false,
		"https://[2001:db8::1]:6443":  false,
		"https://localhost.evil.test": false,
		"https://127.0.0.1.evil.test": false,
		"https://cluster.example.com": false,
		"":                            false,
	} {
		if got := onThisMachine(server); got != want {
			t.Errorf("onThisMachine(%q) = %v, want %v", server, got, want)
		}
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		ip, _, err := net.ParseCIDR(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if server := "https://" + net.JoinHostPort(ip.String(), "6443"); !onThisMachine(server) {
			t.Errorf("onThisMachine(%q) = false, and it is an address of this machine", server)
		}
	}
}
