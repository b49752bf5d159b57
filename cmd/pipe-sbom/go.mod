module github.com/pipelinefile/pipe/cmd/pipe-sbom

go 1.26.6

godebug default=go1.26

require github.com/anchore/go-rpmdb v0.2.2
