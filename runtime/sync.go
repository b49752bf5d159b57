package runtime

import (
	"context"
	"errors"
)

// ErrNoSync means that files cannot be copied into the running containers of a service,
// and that a retry cannot help: the changes require a build.
var ErrNoSync = errors.New("its image has to be built")

// A Syncer keeps the files in running containers up to date with a workspace, in
// watch mode (SPEC W6). Its methods may be called concurrently.
type Syncer interface {
	// Set sets the reference of the image that the containers of a service have.
	// Changes since another image are forgotten, because the new one contains them.
	Set(service, image string)
	// Update applies changes to all running containers of a service that have
	// its image, and remembers them for containers that start later. The error joins
	// those of the containers; it is ErrNoSync if a retry cannot help.
	Update(ctx context.Context, service string, u SyncUpdate) error
	// Synced reports whether all running containers of a service that have its
	// image have all changes. Until then such a container does not count as ready.
	Synced(service string) bool
	// Close stops copying. The containers keep their files.
	Close()
}

// A SyncUpdate describes changes of the files of a service.
type SyncUpdate struct {
	Changes []SyncChange
	Run     [][]string // commands that run afterwards in each container
	Restart bool       // whether each container is restarted, so that its program starts with the changes
}

// A SyncChange is a file to update in a container. Whether it was changed
// or removed is determined when it is copied.
type SyncChange struct {
	Path string // the local file
	To   string // its absolute path in the container
}
