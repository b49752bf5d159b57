module github.com/pipelinefile/pipe/examples/shop/web

go 1.26.0
