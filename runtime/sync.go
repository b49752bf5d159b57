package runtime

import (
	"context"
	"errors"
)

// ErrNoSync says that a service has running containers into which files cannot be
// copied, whatever is tried again: what has changed needs a build.
var ErrNoSync = errors.New("its image has to be built")

// A Syncer keeps the running containers of services as the files of a workspace
// are, in watch mode (SPEC W6). Its methods may be called concurrently.
type Syncer interface {
	// Set says which image the containers of a service have, by its reference. What
	// was changed since another image is forgotten: the new one has it.
	Set(service, image string)
	// Update carries changes out in all running containers of a service that have
	// its image, and remembers them for containers that come later. The error joins
	// those of the containers; it is ErrNoSync if trying again cannot help.
	Update(ctx context.Context, service string, u SyncUpdate) error
	// Synced reports whether all running containers of a service that have its
	// image have all changes. Until then such a container does not count as ready.
	Synced(service string) bool
	// Close ends the copying. The containers stay as they are.
	Close()
}

// A SyncUpdate is what has changed of the files of a service.
type SyncUpdate struct {
	Changes []SyncChange
	Run     [][]string // commands that run afterwards in each container
	Restart bool       // each container is restarted, and its program starts with what was changed
}

// A SyncChange is a file that is different in a container. Whether it was changed
// or removed is found out when it is copied.
type SyncChange struct {
	Path string // the file on this disk
	To   string // the file in the container: an absolute path
}
