// The command trial serves an instance of Sigstore for tests of pipe: see package trial. It writes trusted_root.json and
// signing_config.json to the directory that is its argument, prints its address, and ends when its standard input does.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pipelinefile/pipe/cmd/pipe-sigstore/internal/trial"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "trial:", err)
		os.Exit(1)
	}
}

func serve() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: trial DIR")
	}
	i, err := trial.New()
	if err != nil {
		return err
	}
	defer i.Close()
	for name, document := range map[string]func() ([]byte, error){"trusted_root.json": i.TrustedRoot, "signing_config.json": i.SigningConfig} {
		data, err := document()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(os.Args[1], name), data, 0o644); err != nil {
			return err
		}
	}
	fmt.Println(i.URL)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
