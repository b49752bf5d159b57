package build

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/moby/buildkit/client"
)

// togetherLabel is the label of the worker of the embedded builder, if it limits the commands of a build
// together. The package daemon sets it: one of them cannot import the other.
const togetherLabel = "pipelinefile.github.io/limits-together"

// groups reports whether a builder limits the commands of a build together (I5), which only the
// embedded one does. One that does not tell fails in the build, if at all.
func groups(ctx context.Context, c *connection) bool {
	workers, err := c.ListWorkers(quiet(ctx))
	return err == nil && slices.ContainsFunc(workers, func(w *client.WorkerInfo) bool { return w.Labels[togetherLabel] != "" })
}

// groupsCommands reports whether the builder limits the commands of a build together.
func (n *node) groupsCommands() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.grouped
}

// groupName returns a number of CPU shares that tells the embedded builder which commands belong to
// one build. BuildKit merges equal steps of several builds, and does not tell the executor that runs
// a command whose it is. But it passes on the limits of a build, which are not part of its cache
// keys, and pipe has no other use for this one. Another builder would take it for a weight.
func groupName() string {
	const least, most = 2, 1 << 18 // of CPU shares
	return strconv.Itoa(least + rand.IntN(most-least))
}
