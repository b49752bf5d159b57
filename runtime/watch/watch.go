// Package watch runs watch mode: it detects changes of a plan's inputs and deploys
// them (SPEC W1, W2, W5).
package watch
