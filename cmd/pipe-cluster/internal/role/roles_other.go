//go:build !linux

package role

func roles() map[string]process {
	return map[string]process{"control-plane": controlPlane}
}
