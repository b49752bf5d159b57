package lock

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"strings"

	"github.com/pipelinefile/pipe/internal/redact"
	"github.com/pipelinefile/pipe/plan"
)

// A Module is the name of a remote module in load(…), without the file:
// "git+https://HOST/REPOSITORY@REF" or "oci://HOST/REPOSITORY:TAG".
type Module struct {
	Scheme     string // "git+https", "git+http", "git+ssh", "git+file" or "oci"
	Host       string // may have a port, and for ssh a user; empty for git+file
	Repository string // without a leading slash; an absolute path for git+file
	Ref        string // git: a tag, a branch or a full commit hash; OCI: a tag or a digest
}

// OCI reports whether the module is in a registry instead of git.
func (m Module) OCI() bool { return m.Scheme == "oci" }

// String returns the name of the module, as in a lock file.
func (m Module) String() string {
	if m.OCI() {
		return "oci://" + m.Image()
	}
	return "git+" + m.URL() + "@" + m.Ref
}

// URL returns the URL of the git repository.
func (m Module) URL() string {
	return strings.TrimPrefix(m.Scheme, "git+") + "://" + m.Host + "/" + strings.TrimPrefix(m.Repository, "/")
}

// Image returns the image reference.
func (m Module) Image() string {
	sep := ":"
	if plan.Digest(m.Ref).Valid() {
		sep = "@"
	}
	return m.Host + "/" + m.Repository + sep + m.Ref
}

// IsRemote reports whether name in load(name) refers to a remote module, even if it is
// not valid.
func IsRemote(name string) bool {
	return strings.HasPrefix(name, "git+") || strings.HasPrefix(name, "oci:")
}

// ParseLoad returns the module and the file of load(name) for a remote module. Errors do
// not contain credentials from name.
func ParseLoad(name string) (Module, string, error) {
	scheme, rest, ok := strings.Cut(name, "://")
	module, file, hasFile := strings.Cut(rest, "//")
	if !ok || !hasFile {
		return Module{}, "", fmt.Errorf("%q does not name a file of the module", redact.URLs(name))
	}
	m, err := ParseModule(scheme + "://" + module)
	if err != nil {
		return Module{}, "", err
	}
	if file != path.Clean(file) || !fs.ValidPath(file) || strings.ContainsAny(file, "\\\x00\n") {
		return Module{}, "", fmt.Errorf("%q is not a valid path of a file in the module", file)
	}
	if !IsFile(file) {
		return Module{}, "", fmt.Errorf("%q is not a module: its name must end in .star", file)
	}
	return m, file, nil
}

// The parts of a name. None of them can start with "-", so that a command line cannot
// mistake them for options.

// spelt reports whether s is not empty and consists of letters, digits and the characters
// of more, and begins with a letter, a digit or a character of first.
func spelt(s, first, more string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alphanumeric && (strings.IndexByte(more, c) < 0 || i == 0 && strings.IndexByte(first, c) < 0) {
			return false
		}
	}
	return s != ""
}

func isUser(s string) bool { return spelt(s, "_", "_.-") }

func isGitRef(s string) bool { return spelt(s, "_", "_.-+/") }

// isGitPath reports whether s is the path of a git repository.
func isGitPath(s string) bool {
	first := "._~"
	for part := range strings.SplitSeq(s, "/") {
		if !spelt(part, first, "._~+-") {
			return false
		}
		first = "._~+-"
	}
	return true
}

// isRepository reports whether s is the name of a repository of images: words of lower-case
// letters and digits, with "/" or any number of ".", "_" and "-" between them.
func isRepository(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if !spelt(part, "", "._-") || part != strings.ToLower(part) || strings.TrimRight(part, "._-") != part {
			return false
		}
	}
	return true
}

// isHost reports whether s is a host name or an address in brackets, perhaps with a port.
func isHost(s string) bool {
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		if port := s[i+1:]; port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return false
		}
		s = s[:i]
	}
	if address, ok := strings.CutPrefix(s, "["); ok {
		address, ok = strings.CutSuffix(address, "]")
		return ok && address != "" && strings.Trim(address, "0123456789abcdefABCDEF:.") == ""
	}
	return spelt(s, "", ".-") && strings.TrimRight(s, ".-") == s
}

// isCommit reports whether s is the full hash of a commit.
func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// ParseModule parses the name of a module. Errors do not contain credentials from name.
func ParseModule(name string) (Module, error) {
	scheme, rest, ok := strings.Cut(name, "://")
	if !ok {
		return Module{}, fmt.Errorf("%q is not a remote module: it is written as git+https://HOST/REPOSITORY@REF or oci://HOST/REPOSITORY:TAG", redact.URLs(name))
	}
	m := Module{Scheme: scheme}
	m.Host, rest, _ = strings.Cut(rest, "/")
	switch scheme {
	case "oci":
		return m, m.parseImage(name, rest)
	case "git+https", "git+http", "git+ssh", "git+file":
		return m, m.parseGit(name, rest)
	}
	return Module{}, fmt.Errorf("%q: unknown scheme %q: use git+https, git+ssh, git+file or oci", redact.URLs(name), scheme)
}

func (m *Module) parseImage(name, rest string) error {
	if err := m.checkHost(name); err != nil {
		return err
	}
	var byDigest, byTag bool
	if m.Repository, m.Ref, byDigest = strings.Cut(rest, "@"); !byDigest {
		m.Repository, m.Ref, byTag = strings.Cut(rest, ":")
	}
	switch {
	case !byDigest && !byTag:
		return fmt.Errorf("%q has no tag: add one after the repository, such as :v1.2.3", redact.URLs(name))
	case !isRepository(m.Repository):
		return fmt.Errorf("%q is not a valid repository name", m.Repository)
	case byDigest && !plan.Digest(m.Ref).Valid():
		return fmt.Errorf("%q is not a valid digest: want sha256:… with 64 digits", m.Ref)
	case byTag && !plan.IsTag(m.Ref):
		return fmt.Errorf("%q is not a valid tag", m.Ref)
	}
	return nil
}

func (m *Module) parseGit(name, rest string) error {
	if m.Scheme == "git+file" {
		if m.Host != "" {
			return fmt.Errorf("%q: git+file:// is followed by an absolute path, such as git+file:///srv/lib@v1", redact.URLs(name))
		}
	} else if err := m.checkHost(name); err != nil {
		return err
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return fmt.Errorf("%q has no ref: add a tag, a branch or a commit after the repository, such as @v1.2.3", redact.URLs(name))
	}
	m.Repository, m.Ref = rest[:at], rest[at+1:]
	switch {
	case !isGitPath(m.Repository), strings.Contains("/"+m.Repository+"/", "/../"):
		return fmt.Errorf("%q is not a valid repository path", m.Repository)
	case !isGitRef(m.Ref), strings.Contains(m.Ref, ".."), strings.HasSuffix(m.Ref, ".lock"), strings.HasSuffix(m.Ref, "/"):
		return fmt.Errorf("%q is not a valid git ref", m.Ref)
	}
	return nil
}

func (m *Module) checkHost(name string) error {
	h := m.Host
	if at := strings.LastIndexByte(h, '@'); at >= 0 {
		if m.Scheme != "git+ssh" || !isUser(h[:at]) {
			return fmt.Errorf("%q contains a user or a password: use a credential helper of git or Docker instead", redact.URLs(name))
		}
		h = h[at+1:]
	}
	if strings.Contains(name, "?") {
		return fmt.Errorf("%q has a query, which may contain a token: use a credential helper of git or Docker instead", redact.URLs(name))
	}
	if !isHost(h) {
		return fmt.Errorf("%q has no valid host", redact.URLs(name))
	}
	if m.Scheme == "git+http" && !loopback(h) {
		return fmt.Errorf("%q: git+http is only allowed for this machine: use git+https", redact.URLs(name))
	}
	return nil
}

func loopback(host string) bool {
	if at := strings.LastIndexByte(host, ':'); at >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:at]
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}
