// Command typecheck checks that packages compile for another system, which GOOS and GOARCH name. It checks the
// types of their whole source and generates no code: that takes a fraction of the time of go build. Its arguments
// are patterns of packages, as those of go build.
package main

import (
	"fmt"
	"os"

	"golang.org/x/tools/go/packages"
)

func main() {
	mode := packages.LoadAllSyntax &^ packages.NeedTypesInfo
	all, err := packages.Load(&packages.Config{Mode: mode}, os.Args[1:]...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "typecheck:", err)
		os.Exit(2)
	}
	if packages.PrintErrors(all) > 0 {
		os.Exit(1)
	}
}
