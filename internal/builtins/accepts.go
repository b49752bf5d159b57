package builtins

import (
	"strings"

	"github.com/pipelinefile/pipe/internal/chartspec"
	"github.com/pipelinefile/pipe/plan"
)

// The functions of this file report whether the language accepts an argument, for programs
// that write Pipelinefiles.

// IsSchedule reports whether s is a schedule of a job.
func IsSchedule(s string) bool { return checkCron(s) == nil }

// IsImage reports whether s is the reference of an image.
func IsImage(s string) bool { return checkImage(s) == nil }

// IsEnvName reports whether s is the name of an environment variable.
func IsEnvName(s string) bool { return checkEnvName(s) == nil }

// IsSecretName reports whether s is the name of a secret, or a key in one.
func IsSecretName(s string) bool { return checkSecretName(s) == nil }

// IsPortName reports whether s is the name of a port.
func IsPortName(s string) bool { return checkPortName(s) == nil }

// IsHost reports whether s is the host of a public port.
func IsHost(s string) bool { return checkHost(s) == nil }

// IsMountPath reports whether a file or an empty directory can be at the path of a container.
func IsMountPath(s string) bool { return checkMountPath(s) == nil }

// IsVolumePath reports whether a volume() without a name can be at the path of a container.
func IsVolumePath(s string) bool { return IsMountPath(s) && plan.NameFrom(s, plan.MaxVolumeName) != "" }

// IsFileName reports whether s, which may contain slashes, is the name of a file in a
// directory of files=.
func IsFileName(s string) bool { return checkFileName(s) == nil }

// IsCPU reports whether s is a quantity of CPUs.
func IsCPU(s string) bool { return checkQuantity(s, "") == nil }

// IsMemory reports whether s is a quantity of memory or storage.
func IsMemory(s string) bool { return checkMemory(s, "") == nil }

// IsPods reports whether s is a number of pods, or a percentage of them.
func IsPods(s string) bool {
	number, percent := strings.CutSuffix(s, "%")
	n, ok := decimal(number)
	return ok && n <= maxPods && (!percent || n <= 100)
}

// IsDatabaseName reports whether s is the name of a database in a server of the engine.
func IsDatabaseName(e chartspec.Engine, s string) bool { return checkDatabaseName(e, s) == nil }

// IsDatabaseUser reports whether s is the name of a user of a server of the engine.
func IsDatabaseUser(e chartspec.Engine, s string) bool { return checkDatabaseUser(e, s) == nil }
