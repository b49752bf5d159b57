package main

import (
	"embed"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/pipelinefile/pipe/builtins"
)

//go:embed house
var files embed.FS

// modules are what a Pipelinefile loads as "@house//…".
func modules() (map[string]fs.FS, error) {
	house, err := fs.Sub(files, "house")
	return map[string]fs.FS{"house": house}, err
}

// ownerArgs is the signature of owner().
type ownerArgs struct {
	Team string `arg:"team" help:"who is called when the service fails"`
	Tier int    `arg:"tier,kw" default:"2" help:"how much it matters, from 1 (most) to 3"`
}

// owner is a builtin of this program: a function that only a host can give, as
// it knows the teams.
func owner(teams []string) *builtins.Func {
	return builtins.New("owner", "dict[str, str]", "Returns the labels of a service that a team owns.",
		func(c *builtins.Call, a *ownerArgs) (starlark.Value, error) {
			if !slices.Contains(teams, a.Team) {
				if near := builtins.Nearest(a.Team, teams); near != "" {
					return nil, c.ErrorSuggest("team", near, "there is no team %q", a.Team)
				}
				return nil, c.ErrorHint("team", "there are "+strings.Join(teams, ", "), "there is no team %q", a.Team)
			}
			if a.Tier < 1 || a.Tier > 3 {
				return nil, c.Errorf("tier", "want 1 to 3, got %d", a.Tier)
			}
			labels := starlark.NewDict(2)
			err := labels.SetKey(starlark.String(teamLabel), starlark.String(a.Team))
			if err == nil {
				err = labels.SetKey(starlark.String("tier"), starlark.String(strconv.Itoa(a.Tier)))
			}
			return labels, err
		})
}
