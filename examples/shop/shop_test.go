// Package shop_test holds the example to what it shows.
package shop_test

import (
	"testing"

	"github.com/pipelinefile/pipe/interp"
	"github.com/pipelinefile/pipe/interp/suite"
)

// TestPipeline runs the tests of the pipeline, as "pipe test examples/shop" does.
func TestPipeline(t *testing.T) {
	// The plan has paths below the repository.
	opts := suite.Options{Eval: interp.Options{Root: "../.."}}
	if err := suite.Check(t.Context(), []string{"shop_test.star"}, opts); err != nil {
		t.Error(err)
	}
}
