package chart

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/repo"
)

// login sets the user name and password of a chart repository on a request, from Helm's
// list of repositories ("helm repo add"). As with Helm, another
// host gets them only if the repository was added with --pass-credentials.
func login(req *http.Request, repository string) error {
	file := cli.New().RepositoryConfig
	list, err := repo.LoadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil: // the error may quote the file
		return fmt.Errorf("Helm's list of repositories %s cannot be read: repair it, or add its repositories again with helm repo add", file)
	}
	at, err := url.Parse(repository)
	if err != nil {
		return err
	}
	for _, r := range list.Repositories {
		if r.Username == "" || strings.TrimSuffix(r.URL, "/") != strings.TrimSuffix(repository, "/") {
			continue
		}
		if r.PassCredentialsAll || at.Scheme == req.URL.Scheme && at.Host == req.URL.Host {
			req.SetBasicAuth(r.Username, r.Password)
		}
		return nil
	}
	return nil
}
