package background

import "strings"

// handedOn are the variables that a background process inherits from the caller
// that starts it. All others are dropped: they may be secrets, and the process
// must not behave differently depending on which caller starts it.
var handedOn = map[string]bool{
	"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "SHELL": true, "TZ": true, "LANG": true,
	"TMPDIR": true, "TMP": true, "TEMP": true, "PIPE_HOME": true,
	"XDG_STATE_HOME": true, "XDG_CACHE_HOME": true, "XDG_CONFIG_HOME": true, "XDG_DATA_HOME": true, "XDG_RUNTIME_DIR": true,
	"SSL_CERT_FILE": true, "SSL_CERT_DIR": true,
	"HTTP_PROXY": true, "HTTPS_PROXY": true, "NO_PROXY": true, "ALL_PROXY": true,
	"GOCOVERDIR": true, "GORACE": true, "GOMAXPROCS": true, "GOMEMLIMIT": true,
	// Many Windows programs do not start without these.
	"SYSTEMROOT": true, "SYSTEMDRIVE": true, "WINDIR": true, "COMSPEC": true, "PATHEXT": true, "USERPROFILE": true,
	"LOCALAPPDATA": true, "APPDATA": true, "PROGRAMDATA": true,
}

// clean returns the variables of env that are passed on; those of proxies may have
// lower-case names.
func clean(env []string) []string {
	kept := []string{} // not nil, which means the caller's environment to os/exec
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		name = strings.ToUpper(name)
		if handedOn[name] || strings.HasPrefix(name, "LC_") {
			kept = append(kept, v)
		}
	}
	return kept
}
