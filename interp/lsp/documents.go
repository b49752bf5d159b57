package lsp

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pipelinefile/pipe/internal/paths"
)

func (s *server) opened(ctx context.Context, p openParams) (any, error) {
	file := s.workspace.pathOf(p.TextDocument.URI)
	// The file is not on disk, not editable, or not a program.
	if file == "" || isLibrary(file) || strings.HasSuffix(file, ".lock") {
		return nil, nil
	}
	if p.TextDocument.LanguageID == "dockerfile" {
		s.aboveDockerfile(ctx, file)
		return nil, nil
	}
	s.workspace.docs[file] = &document{uri: p.TextDocument.URI, version: p.TextDocument.Version, text: newText(p.TextDocument.Text)}
	s.touch(file)
	return nil, nil
}

func (s *server) edited(_ context.Context, p changeParams) (any, error) {
	file := s.workspace.pathOf(p.TextDocument.URI)
	d := s.workspace.docs[file]
	if d == nil {
		return nil, nil
	}
	for _, c := range p.ContentChanges {
		d.text = d.text.edited(c)
	}
	d.version, d.known = p.TextDocument.Version, nil
	s.touch(file)
	return nil, nil
}

// saved handles a saved file that the server does not analyze itself, such as a
// Dockerfile; a Pipelinefile or module has been evaluated already.
func (s *server) saved(_ context.Context, p documentParams) (any, error) {
	s.changedOnDisk(s.workspace.pathOf(p.TextDocument.URI))
	return nil, nil
}

// changedOnDisk schedules the evaluation of everything that reads a file.
func (s *server) changedOnDisk(file string) {
	if file == "" || s.workspace.docs[file] != nil {
		return
	}
	for _, sub := range s.subjects {
		if sub.file == file || sub.inputs[file] || filepath.Dir(sub.file) == filepath.Dir(file) {
			s.touch(sub.file)
		}
	}
}

// aboveDockerfile schedules the evaluation of the Pipelinefiles in the
// directories above a Dockerfile, because they may build it.
func (s *server) aboveDockerfile(ctx context.Context, file string) {
	for _, name := range s.workspace.files(ctx, s.workspace.roots(file)) {
		if isPipelinefile(name) && paths.Below(filepath.Dir(name), file) != "" {
			s.touch(name)
		}
	}
}

func (s *server) closed(_ context.Context, p documentParams) (any, error) {
	file := s.workspace.pathOf(p.TextDocument.URI)
	if s.workspace.docs[file] == nil {
		return nil, nil
	}
	delete(s.workspace.docs, file)
	sub := s.subjects[file]
	for _, other := range s.subjects {
		if other != sub && other.run && other.inputs[file] {
			s.touch(file) // the file on disk may differ
		}
	}
	if sub != nil && !s.needed(sub) {
		s.forget(sub)
	}
	return nil, nil
}

// needed reports whether any open file is part of a subject.
func (s *server) needed(sub *subject) bool {
	for file := range s.workspace.docs {
		if file == sub.file || sub.run && sub.inputs[file] {
			return true
		}
	}
	return false
}

// filesChanged handles the notification that other programs have changed files on disk.
func (s *server) filesChanged(_ context.Context, p struct {
	Changes []documentID `json:"changes"`
}) (any, error) {
	for _, c := range p.Changes {
		s.changedOnDisk(s.workspace.pathOf(c.URI))
	}
	return nil, nil
}

// here returns the module and the position that a request is about.
func (s *server) here(ctx context.Context, p positionParams) (*module, int, error) {
	m, err := s.open(ctx, p.TextDocument.URI)
	if err != nil {
		return nil, 0, err
	}
	return m, m.text.offset(p.Position), nil
}

func (s *server) open(ctx context.Context, uri string) (*module, error) {
	file := s.workspace.pathOf(uri)
	if file == "" {
		return nil, &rpcError{codeInvalidParams, fmt.Sprintf("%s is not a file on disk", uri)}
	}
	m := s.workspace.module(ctx, file)
	if m == nil {
		return nil, &rpcError{codeInvalidParams, fmt.Sprintf("%s is not open and cannot be read", uri)}
	}
	return m, nil
}
