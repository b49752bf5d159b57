package chart

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/pipelinefile/pipe/internal/atomicfile"
	"github.com/pipelinefile/pipe/internal/redact"
)

// cached returns the chart of a source from the cache, if its version is exact,
// and otherwise fetches it and adds it to the cache. A damaged chart in the cache is
// fetched again.
func (s *Shelf) cached(ctx context.Context, source, version string, fetch func() ([]byte, error)) (*chart.Chart, error) {
	sum := sha256.Sum256([]byte(source + "\n" + version))
	path := filepath.Join(s.cache, hex.EncodeToString(sum[:])+".tgz")
	name := redact.URLs(named(strings.ReplaceAll(source, "\n", " "), version))
	if exact.MatchString(version) {
		c, err := fromCache(path)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			s.notice(fmt.Sprintf("chart %s is damaged in the cache (%v): it is fetched again", name, err))
		}
	}
	data, err := fetch()
	if err != nil {
		return nil, err
	}
	if err := newRoom("").archive(ctx, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	c, err := loader.LoadArchive(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if err := keep(path, data); err != nil {
		s.notice(fmt.Sprintf("chart %s is not kept (%v), and is fetched again the next time: see that %s has room and can be written", name, err, s.cache))
	}
	return c, nil
}

func (s *Shelf) notice(text string) {
	if s.Notice != nil {
		s.Notice(text)
	}
}

// digestFile returns the path of the digest of a cached chart. Charts that an older pipe
// has cached have none.
func digestFile(path string) string { return path + ".sha256" }

// fromCache loads a cached chart. If there is no file, the error is fs.ErrNotExist.
func fromCache(path string) (*chart.Chart, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	if want, err := os.ReadFile(digestFile(path)); err == nil && string(want) != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("the digest of %s has changed since it was fetched", path)
	}
	return loader.LoadArchive(bytes.NewReader(data))
}

// keep caches a fetched chart. It writes the digest last, so that the digest is never
// that of a previous file.
func keep(path string, data []byte) error {
	sum := sha256.Sum256(data)
	if err := os.RemoveAll(digestFile(path)); err != nil {
		return err
	}
	if err := atomicfile.Write(path, data, 0o600); err != nil {
		return err
	}
	return atomicfile.Write(digestFile(path), []byte(hex.EncodeToString(sum[:])), 0o600)
}
