package builtins

import (
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/internal/convert"
	"github.com/pipelinefile/pipe/internal/explain"
	"github.com/pipelinefile/pipe/plan"
)

// A Chart is the value of chart().
type Chart struct {
	opaque
	plan plan.Chart
}

// String returns the call that makes it.
func (ch *Chart) String() string {
	if c := ch.plan; c.Git != "" {
		return "chart(" + (&sourceValue{plan: plan.Source{Git: c.Git}, remote: true}).String() + ")"
	}
	return "chart(" + starlark.String(ch.plan.Ref).String() + ")"
}

// Type returns "chart".
func (ch *Chart) Type() string { return "chart" }

type chartArgs struct {
	Ref         chartRef `arg:"ref" path:"file" help:"a directory or a .tgz relative to the file of the call, oci://…, a name in repo, or git()"`
	Version     string   `arg:"version,kw" default:"None" help:"of a chart from elsewhere; the newest if not given"`
	Repo        string   `arg:"repo,kw" default:"None" help:"the address of a chart repository"`
	ValuesFiles []string `arg:"values_files,kw" default:"[]" help:"YAML files, relative to the file of the call; later ones win"`
}

// chartRef is the ref of a chart: a string, or the source of a chart in a git repository.
type chartRef struct {
	text string
	git  *plan.Source
}

func (chartRef) TypeName() string { return "str | source" }

// Unpack accepts both.
func (r *chartRef) Unpack(v starlark.Value) error {
	s, ok := v.(*sourceValue)
	switch {
	case !ok:
		if p := convert.String(&r.text, v); p != nil {
			return p
		}
		return nil
	case !s.remote:
		return explain.Errorf("a chart of the workspace is named by its directory").WithHint("write it as a string, relative to this file")
	}
	r.git = &s.plan
	return nil
}

// credentialsHint says where the credentials of a chart's address belong: Helm keeps
// those of a repository, Docker those of a registry.
func credentialsHint(address string) string {
	if strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		return "remove it, and give Helm a user and a password for the repository: helm repo add NAME URL --username USER --password-stdin"
	}
	return loginHint
}

var chartFunc = declare("chart", "chart", "Refers to a Helm chart, for `helm`, or for another service instead of its generated one.",
	func(c *Call, a *chartArgs) (starlark.Value, error) {
		out := plan.Chart{Ref: a.Ref.text, Version: a.Version, Repo: a.Repo, Pos: c.Pos()}
		ref := out.Ref
		inRepo, inRef := checkCredentials(a.Repo, credentialsHint(a.Repo)), checkCredentials(ref, credentialsHint(ref))
		switch {
		case !c.Valid("ref"):
		case a.Ref.git != nil:
			c.inGit(&out, *a.Ref.git)
		case inRepo != nil || inRef != nil:
			c.wrong("repo", inRepo)
			c.wrong("ref", inRef)
			out.Ref, out.Repo = "", "" // do not pass them on
		case a.Repo != "":
			if !strings.HasPrefix(a.Repo, "https://") && !strings.HasPrefix(a.Repo, "http://") {
				c.wrong("repo", explain.Errorf("%q is not an address of a chart repository", explain.Clip(a.Repo)).WithHint("it starts with https://; a chart in a registry is oci://… without repo="))
			}
			if _, err := semver.NewConstraint(a.Version[:min(len(a.Version), maxConstraint)]); a.Version != "" && err != nil {
				c.wrong("version", explain.Errorf("%q is not a version", explain.Clip(a.Version)).WithHint(`write such as "1.2.3" or "^1.2"`))
			}
			if ref == "" || strings.ContainsAny(ref, "/:\\ ") {
				c.wrong("ref", explain.Errorf("%q is not a valid chart name", explain.Clip(ref)))
			}
		case strings.HasPrefix(ref, "oci://"):
			if p := checkImage(strings.TrimPrefix(ref, "oci://")); p != nil {
				c.wrong("ref", explain.Errorf("%q is not a valid chart reference", explain.Clip(ref)).WithHint(`write, for example, "oci://ghcr.io/owner/chart"`))
			}
		case strings.HasPrefix(ref, "https://"), strings.HasPrefix(ref, "http://"):
			c.wrong("ref", explain.Errorf("%q is not a chart", explain.Clip(ref)).WithHint(`a chart of a repository is written as chart("name", repo = "https://…", version = "…")`))
		case strings.Contains(ref, "://"):
			c.wrong("ref", explain.Errorf("%q is not a chart", explain.Clip(ref)).WithHint("a chart is a directory, a .tgz, oci://…, or a name together with repo="))
		default:
			dir, p := c.resolve(ref)
			if p == nil {
				p = c.readChart(dir)
			}
			c.wrong("ref", p)
			if a.Version != "" {
				c.wrong("version", explain.Errorf("a chart of the workspace has its own version"))
			}
			out.Ref = dir
		}
		out.ValuesFiles = c.valuesFiles(a.ValuesFiles)
		return &Chart{plan: out}, nil
	})

// inGit makes out the chart in a git repository.
func (c *Call) inGit(out *plan.Chart, source plan.Source) {
	if out.Version != "" {
		c.wrong("version", explain.Errorf("a chart of a git repository has its own version").WithHint("the branch, the tag or the commit is ref= of git()"))
	}
	if out.Repo != "" {
		c.wrong("repo", explain.Errorf("a chart of a git repository is not in a chart repository").WithHint("leave out repo=, or give the name of the chart instead of git()"))
	}
	out.Git, out.Version, out.Repo, out.Ref = source.Git, source.Ref, "", path.Join(".", source.Path)
}

// readChart makes a chart of the workspace an input: a .tgz file, or all files of a
// directory.
func (c *Call) readChart(ref string) *explain.Error {
	files := c.Session.Files
	if known, _ := files.trees.digest(ref); known != "" {
		return c.noteTree(ref)
	}
	info, err := files.stat(ref)
	if err != nil {
		p := files.problem(ref, err)
		if p.Hint == "" {
			p.Hint = "a chart from a repository needs repo=, one from a registry starts with oci://"
		}
		return p
	}
	if !info.IsDir() {
		if !strings.HasSuffix(ref, ".tgz") {
			return explain.Errorf("%s is not a chart", ref).WithHint("a chart is a directory with a Chart.yaml, or a .tgz")
		}
		if _, err := files.Read(ref, plan.InputChart); err != nil {
			return explain.Errorf("%v", err)
		}
		return nil
	}
	if !files.isFile(path.Join(ref, "Chart.yaml")) {
		return explain.Errorf("%s is not a chart: it has no Chart.yaml", ref).WithHint("a chart is a directory with a Chart.yaml, or a .tgz")
	}
	return c.noteTree(ref)
}

// noteTree makes the directory of a chart an input.
func (c *Call) noteTree(ref string) *explain.Error {
	if err := c.Session.Files.readTree(ref, plan.InputChart); err != nil {
		return explain.Errorf("%v", err)
	}
	return nil
}
