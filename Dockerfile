# The tests of the packages that evaluate a Pipelinefile, compiled. They need no server.
ARG IMAGES=docker.io/library
ARG GO=1.26
FROM ${IMAGES}/golang:${GO}
WORKDIR /src
ENV CGO_ENABLED=0
COPY . .
RUN --mount=type=cache,id=pipe-modules,target=/go/pkg/mod --mount=type=cache,id=pipe-compiled,target=/root/.cache/go-build \
    mkdir /tests && go test -c -o /tests/ ./plan ./builtins ./interp ./runtime/sched
CMD ["sh", "-ec", "for dir in plan builtins interp runtime/sched; do echo $dir; (cd $dir && /tests/${dir##*/}.test); done"]
