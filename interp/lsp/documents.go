package lsp

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

func (s *server) opened(ctx context.Context, p openParams) (any, error) {
	file := s.workspace.pathOf(p.TextDocument.URI)
	// Not on disk, not to be changed, or no program.
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

// saved looks at a file that others than us have open in the editor, such as a
// Dockerfile; a text of ours that is saved has been evaluated already.
func (s *server) saved(_ context.Context, p documentParams) (any, error) {
	s.changedOnDisk(s.workspace.pathOf(p.TextDocument.URI))
	return nil, nil
}

// changedOnDisk has all evaluated anew that reads a file.
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

// aboveDockerfile has the Pipelinefiles of the folders above a Dockerfile
// evaluated, which may build it.
func (s *server) aboveDockerfile(ctx context.Context, file string) {
	for _, name := range s.workspace.files(ctx, s.workspace.roots(file)) {
		if isPipelinefile(name) && below(filepath.Dir(name), file) != "" {
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
			s.touch(file) // the disk may have another text
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

// filesChanged is told of files that others have changed on disk.
func (s *server) filesChanged(_ context.Context, p struct {
	Changes []documentID `json:"changes"`
}) (any, error) {
	for _, c := range p.Changes {
		s.changedOnDisk(s.workspace.pathOf(c.URI))
	}
	return nil, nil
}

// here returns what is known of the file and the place of a request.
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
		return nil, &rpcError{codeInvalidParams, fmt.Sprintf("%s is no file on disk", uri)}
	}
	m := s.workspace.module(ctx, file)
	if m == nil {
		return nil, &rpcError{codeInvalidParams, fmt.Sprintf("%s is not open and cannot be read", uri)}
	}
	return m, nil
}
