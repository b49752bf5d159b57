// Package builtins defines the functions and values that a Pipelinefile sees.
//
// A builtin is declared with a struct and a function, see package builtins. The builtins
// here record declarations in a [Session], with the position of the call. Everything that
// depends on the whole file is left to interp.
package builtins

import (
	starmath "go.starlark.net/lib/math"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/pipelinefile/pipe/builtins"
)

// standard lists our builtin functions, in the order of the reference.
var standard = []*builtins.Func{
	pipelineFunc, requireVersionFunc, stageFunc, defaultStagesFunc, defaultStageFunc, renameStageFunc, removeStageFunc,
	applicationFunc, containerFunc, jobFunc, databaseFunc, skipFunc,
	helmFunc, manifestsFunc, kustomizeFunc,
	localFunc, gitFunc, dockerfileFunc, commandBuildFunc, goImageFunc, buildpackFunc, syncFunc, chartFunc,
	portFunc, httpFunc, tcpFunc, grpcFunc, commandFunc, resourcesFunc, autoscaleFunc, ruleFunc, disruptionFunc, strategyFunc, spreadFunc, volumeFunc, diskFunc, existingVolumeFunc, scratchFunc, fileFunc, fieldFunc, configMapFunc, sidecarFunc, initFunc, patchFunc, secretFunc, signingKeyFunc, keylessFunc, signedFunc, scanFunc, exceptionFunc, paramFunc,
	readFileFunc, readJSONFunc, readYAMLFunc, readYAMLAllFunc, readTOMLFunc, readEnvFunc, globFunc, yamlEncodeFunc, yamlDecodeFunc,
	warnFunc, failFunc,
}

// Standard returns the builtin functions that every Pipelinefile has, in the
// order of the reference.
func Standard() []*builtins.Func { return append([]*builtins.Func(nil), standard...) }

// Predeclared returns the names that are predeclared in a file of the session, besides
// those of Starlark itself. Functions of a host program come last, and replace others of
// the same name.
func (s *Session) Predeclared(host []*builtins.Func) starlark.StringDict {
	env := starlark.StringDict{
		"json":        s.jsonModule(),
		"math":        starmath.Module,
		"struct":      starlark.NewBuiltin("struct", starlarkstruct.Make),
		"str":         s.textFunc("str"),
		"repr":        s.textFunc("repr"),
		"environment": s.environment(),
	}
	for _, t := range serviceTypes {
		env[string(t)] = starlark.String(t)
	}
	yaml := starlark.StringDict{}
	for _, f := range standard {
		switch f.Name {
		case yamlEncodeFunc.Name:
			yaml["encode"] = f.Bind(s)
		case yamlDecodeFunc.Name:
			yaml["decode"] = f.Bind(s)
		default:
			env[f.Name] = f.Bind(s)
		}
	}
	env["yaml"] = &starlarkstruct.Module{Name: "yaml", Members: yaml}
	for _, f := range host {
		env[f.Name] = f.Bind(hosted{s})
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
