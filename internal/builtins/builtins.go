// Package builtins defines the functions and values that a Pipelinefile sees.
//
// The struct that receives a builtin's arguments is also its signature (L8):
// names, order, types, defaults and help are read from its fields once, and the
// argument check, the reference page, the type stubs and the language server
// all use them. Host programs declare their own in the same way, with [New].
//
// Builtins record what is declared in a [Session], with the position of the
// call, and decide nothing that needs the whole file: that is interp's.
package builtins

import (
	starmath "go.starlark.net/lib/math"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// standard is every builtin function that is ours, in the order of the reference.
var standard = []*Func{
	pipelineFunc, requireVersionFunc, stageFunc, defaultStagesFunc, defaultStageFunc, renameStageFunc, removeStageFunc,
	applicationFunc, containerFunc, jobFunc, databaseFunc, skipFunc,
	localFunc, gitFunc, dockerfileFunc, syncFunc, chartFunc,
	portFunc, httpFunc, tcpFunc, commandFunc, resourcesFunc, volumeFunc, secretFunc, paramFunc,
	readFileFunc, readJSONFunc, readYAMLFunc, readTOMLFunc, globFunc, yamlEncodeFunc, yamlDecodeFunc,
	warnFunc, failFunc,
}

// Standard returns the builtin functions that every Pipelinefile has, in the
// order of the reference.
func Standard() []*Func { return append([]*Func(nil), standard...) }

// Predeclared returns the names that a file of the session sees, besides those
// of Starlark itself. Functions of a host program come last, and replace others
// of their names.
func (s *Session) Predeclared(host []*Func) starlark.StringDict {
	env := starlark.StringDict{
		"json":        s.jsonModule(),
		"math":        starmath.Module,
		"struct":      starlark.NewBuiltin("struct", starlarkstruct.Make),
		"str":         s.textFunc("str"),
		"repr":        s.textFunc("repr"),
		"environment": s.environment(),
	}
	for _, t := range DefaultTypes {
		env[string(t)] = starlark.String(t)
	}
	yaml := starlark.StringDict{}
	for _, f := range standard {
		switch f.Name {
		case yamlEncodeFunc.Name:
			yaml["encode"] = f.value(s)
		case yamlDecodeFunc.Name:
			yaml["decode"] = f.value(s)
		default:
			env[f.Name] = f.value(s)
		}
	}
	env["yaml"] = &starlarkstruct.Module{Name: "yaml", Members: yaml}
	for _, f := range host {
		env[f.Name] = f.value(s)
	}
	return env
}

func (s *Session) environment() starlark.Value {
	e := s.Environment
	return starlarkstruct.FromStringDict(starlark.String("environment"), starlark.StringDict{
		"name": starlark.String(e.Name), "kind": starlark.String(e.Kind),
		"source": starlark.String(e.Source), "branch": starlark.String(e.Branch),
	})
}
