package build_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pipelinefile/pipe/plan"
	"github.com/pipelinefile/pipe/runtime"
	"github.com/pipelinefile/pipe/runtime/build"
)

// TestScan: a scanner reads the files of an image, which it cannot change, and its report is read (I14).
func TestScan(t *testing.T) {
	host := images(t)
	b := newBuilder(t, workspace(t, files{
		"tool/Dockerfile": shell + "ENV FROM=image PATH=/bin\n", "tool/busybox": "",
		"web/Dockerfile": "FROM scratch\nCOPY note /note\n", "web/note": "of the image",
	}))
	tool, _ := mustBuild(t, b, spec("tool"), host+"/tool:1")
	s := spec("web")
	s.Platforms = []string{"linux/amd64", "linux/arm64"}
	web, _ := mustBuild(t, b, s, host+"/web:1")
	scan := func(platform string, env map[string]string, command ...string) (string, *record, error) {
		var r record
		report, err := b.Scan(t.Context(), build.ScanSpec{
			Scanner: host + "/tool@" + string(tool), Image: host + "/web@" + string(web), Platform: platform, MaxSize: 3 << 20,
			With: plan.Scan{Command: command, Env: env, Pos: plan.Pos{File: "Pipelinefile", Line: 3, Col: 8}},
		}, r.emit)
		return string(report), &r, err
	}
	sh := func(script string) (string, *record, error) { return scan("", nil, "sh", "-c", script) }

	got, r, err := scan("", map[string]string{"OF": "$(PIPE_ROOTFS)/note"}, "sh", "-c", `echo looking; (echo $FROM; cat $OF $(PIPE_ROOTFS)/note; id -u) >$PIPE_REPORT`)
	if err != nil || got != "image\nof the imageof the image0\n" {
		t.Errorf("report %q, %v", got, err)
	}
	if !strings.Contains(r.text(), "looking") {
		t.Errorf("the output of the scanner is not reported: %s", r.text())
	}
	if got, _, err := scan("linux/arm64", nil, "cp", "$(PIPE_ROOTFS)/note", "$(PIPE_REPORT)"); err != nil || got != "of the image" {
		t.Errorf("of another platform: %q, %v", got, err)
	}
	// It runs each time, and its cache is kept.
	counting := `echo x >>$(PIPE_CACHE)/runs; wc -l <$(PIPE_CACHE)/runs >$PIPE_REPORT`
	for _, want := range []string{"1", "2"} {
		if got, r, err := sh(counting); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("run %s: %q, %v\n%s", want, got, err, r.text())
		}
	}
	if got, _, err := sh(`dd if=/dev/zero bs=1024 count=3072 2>/dev/null | tr '\000' x >$PIPE_REPORT`); err != nil || len(got) != 3<<20 || strings.Trim(got, "x") != "" {
		t.Errorf("a large report: %d bytes, %v", len(got), err)
	}
	for script, want := range map[string]string{
		"echo it broke; exit 3":    "exit",
		"true":                     "the scanner has written no report to $(PIPE_REPORT)",
		"mkdir $PIPE_REPORT":       "is not a file",
		"ln -s /note $PIPE_REPORT": "is not a file",
		"echo x >$PIPE_ROOTFS/y":   "exit",
		"dd if=/dev/zero of=$PIPE_REPORT bs=1024 count=4096": "the report of the scanner has 4 MiB, at most 3 are read",
	} {
		_, _, err := sh(script)
		var failed *runtime.BuildError
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), want) || failed.Pos.Line != 3 {
			t.Errorf("%s: %v, want a BuildError with %q", script, err, want)
			continue
		}
		if _, advised := runtime.AdviceOf(err); want == "exit" && (!advised || script[:4] == "echo" && !strings.Contains(fmt.Sprint(failed.Log), "it broke") && !strings.Contains(fmt.Sprint(failed.Log), "Read-only")) {
			t.Errorf("%s: advice %t, output %q", script, advised, failed.Log)
		}
	}
	if _, _, err := scan("", nil, "missing", "a"); err == nil || !strings.Contains(err.Error(), "missing a: ") {
		t.Errorf("a missing program: %v", err)
	}
	if _, _, err := scan("linux/s390x", nil, "true"); err == nil || !strings.Contains(err.Error(), "platform") {
		t.Errorf("a missing platform: %v", err)
	}
}
