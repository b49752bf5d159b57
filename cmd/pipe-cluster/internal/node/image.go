package node

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
)

// pauseArchive returns the pause image as an OCI archive. For the same architecture, its bytes are
// always the same.
func pauseArchive(arch string) ([]byte, error) {
	program, err := pauseProgram(arch)
	if err != nil {
		return nil, err
	}
	layer, err := archive(file{"pause", 0o755, program})
	if err != nil {
		return nil, err
	}
	type object map[string]any
	config, err1 := json.Marshal(object{
		"architecture": arch, "os": "linux",
		"config": object{"Entrypoint": []string{"/pause"}, "User": "65535:65535"},
		"rootfs": object{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	const media = "application/vnd.oci.image."
	manifest, err2 := json.Marshal(object{
		"schemaVersion": 2, "mediaType": media + "manifest.v1+json",
		"config": object{"mediaType": media + "config.v1+json", "digest": digest(config), "size": len(config)},
		"layers": []object{{"mediaType": media + "layer.v1.tar", "digest": digest(layer), "size": len(layer)}},
	})
	index, err3 := json.Marshal(object{
		"schemaVersion": 2, "mediaType": media + "index.v1+json",
		"manifests": []object{{
			"mediaType": media + "manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
			"platform":    object{"architecture": arch, "os": "linux"},
			"annotations": object{"io.containerd.image.name": PauseImage},
		}},
	})
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	blob := func(b []byte) file { return file{"blobs/sha256/" + digest(b)[len("sha256:"):], 0o644, b} }
	return archive(file{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)}, file{"index.json", 0o644, index},
		blob(config), blob(manifest), blob(layer))
}

type file struct {
	name string
	mode int64
	data []byte
}

func archive(files ...file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
