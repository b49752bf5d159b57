package build

import (
	"testing"

	"github.com/pipelinefile/pipe/internal/stall"
)

// TestReadAnswer describes errors that need minutes, or another builder, to occur.
func TestReadAnswer(t *testing.T) {
	silent := (&stall.Error{Host: "x.test", Wait: stall.Read}).Error()
	const signed = `failed to do request: Get "https://blobs.test/x?X-Amz-Signature=hunter2": `
	for text, want := range map[string]registryAnswer{
		signed + silent:             {why: "registry x.test does not respond", next: "check the network and its address", away: true},
		"failed to copy: " + silent: {why: "registry x.test does not respond", next: "check the network and its address", away: true},
		signed + "dial tcp 10.0.0.1:443: connect: no route to host": {
			why: "registry x.test cannot be reached: dial tcp 10.0.0.1:443: connect: no route to host", next: "check that it is running, and its address", away: true},
		"failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://auth.test/token: 401 Unauthorized": {
			why: "registry x.test returned 401 Unauthorized", next: "log in with 'docker login x.test'"},
		"failed commit on ref \"layer-sha256:1\": unexpected status from PUT request to https://x.test/v2/a/blobs/uploads/1?token=hunter2: 507 Insufficient Storage": {
			why: "registry x.test returned 507 Insufficient Storage", next: "free some space, or raise its quota", full: true},
		"toomanyrequests: You have reached your pull rate limit.": {
			why: "registry x.test returned an error (toomanyrequests: You have reached your pull rate limit.)", next: "log in with 'docker login x.test', or try again later"},
	} {
		if got := readAnswer("x.test", text); got != want {
			t.Errorf("readAnswer(%s)\n= %+v, want\n  %+v", text, got, want)
		}
	}
}

func TestHostOf(t *testing.T) {
	for image, want := range map[string]string{
		"debian:12": "docker.io", "acme/web": "docker.io", "localhost/web": "localhost", "x.test/web": "x.test", "10.0.0.1:5000/a/b": "10.0.0.1:5000",
	} {
		if got := hostOf(image); got != want {
			t.Errorf("hostOf(%s) = %s, want %s", image, got, want)
		}
	}
}
