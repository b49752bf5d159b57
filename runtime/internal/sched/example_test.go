package sched_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pipelinefile/pipe/runtime/internal/sched"
)

// What needs a failed task does not run; what comes after it does.
func ExampleRun() {
	say := func(text string, err error) func(context.Context) error {
		return func(context.Context) error {
			fmt.Println(text)
			return err
		}
	}
	const builds = 0 // the class of two of the tasks: one slot
	api := &sched.Task{Name: "build api", Class: builds, Priority: 1, Do: say("build api", nil)}
	web := &sched.Task{Name: "build web", Class: builds, Priority: 2, Do: say("build web", errors.New("no such file"))}
	deploy := &sched.Task{Name: "deploy", Class: -1, Needs: []*sched.Task{api, web}, Do: say("deploy", nil)}
	clean := &sched.Task{Name: "clean", Class: -1, After: []*sched.Task{api, web}, Do: say("clean", nil)}

	tasks := []*sched.Task{deploy, clean, web, api}
	results, err := sched.Run(context.Background(), tasks, sched.Options{Limits: []int{1}, KeepGoing: true})
	if err != nil {
		fmt.Println(err) // the tasks are no graph
		return
	}
	for i, r := range results {
		fmt.Println(tasks[i].Name, "|", r.State, r.Err)
	}
	// Output:
	// build api
	// build web
	// clean
	// deploy | not run <nil>
	// clean | done <nil>
	// build web | failed no such file
	// build api | done <nil>
}

func ExamplePanicError() {
	results, _ := sched.Run(context.Background(), []*sched.Task{
		{Name: "build", Class: -1, Do: func(context.Context) error { panic("no builder") }},
	}, sched.Options{})
	var p *sched.PanicError
	if errors.As(results[0].Err, &p) {
		fmt.Println(p.Task, p.Value)
	}
	// Output: build no builder
}
