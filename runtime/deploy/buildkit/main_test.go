package buildkit

import (
	"testing"

	"github.com/pipelinefile/pipe/runtime/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
