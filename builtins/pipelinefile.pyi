# What a Pipelinefile sees, for editors. Made from the code by "make generate"; do not edit.

from typing import Any, Callable

class Service:
    """One deployable thing, as `application`, `container`, `job`, `database`, `helm` and `manifests` return it. Those of `helm` and `manifests` have `.name` and `.type` only."""
    name: str
    """the name"""
    type: str
    """DATABASE, JOB, CONTAINER, APPLICATION, HELM or MANIFESTS"""
    image: Image
    """the image, for `image=` of another service: it is then built once"""
    host: str
    """the host name inside the environment, the same in every environment"""
    port: int
    """the first port, at which other services reach it"""
    url: str | Secret
    """`http://host:port`; of a database the address with user and password, a secret"""
    user: Secret
    """of a database: the generated user"""
    password: Secret
    """of a database: the generated password"""
    database: str
    """of a database: its name in the server"""
    url_for: Callable
    """of a database: `url_for(form)` is the address in another form, a secret: `"jdbc"`, or with another scheme, such as `"mysql2"` or `"postgresql+asyncpg"`"""

class Stage:
    """A named step of the pipeline."""
    name: str
    """the name that it was declared with"""
    order: int
    """where it runs among the others"""

class Port:
    """A port of a service."""
    number: int
    """the number"""
    name: str
    """the name"""
    service: int
    """the port at which other services reach it"""

class Secret:
    """A reference to a secret, for `env=`, `secrets=`, `files=`, the `values=` of a chart and `signing_key()`. It cannot be converted to a string: its value is not known here."""

class Signing_key:
    """The key that signs the images that are built, or the identity that does."""

class Signed:
    """A rule about which images must be signed, and by whom."""

class Scan:
    """How images are scanned for vulnerabilities before they are deployed."""

class Exception:
    """A vulnerability that is ignored until a date."""

class Image:
    """Where the image of a service comes from. In `values=` of a chart it is the reference, by digest."""
    repository: Image
    """registry and name, for `values=` of a chart"""
    tag: Image
    """what follows the colon, for `values=` of a chart, beside the repository"""
    digest: Image
    """the digest, for `values=` of a chart"""

class Source:
    """A directory of the workspace or of a git repository."""

class Build:
    """How an image is built."""

class Sync:
    """Files that watch mode copies into running containers."""

class Chart:
    """A Helm chart."""

class Kustomization:
    """A kustomization, for `manifests`."""

class Health:
    """A check of whether a service is ready, has started or must be restarted."""

class Resources:
    """Resource requests and limits of a container."""

class Autoscale:
    """The autoscaling of the pods of a service."""

class Rule:
    """What a service may do in the Kubernetes API."""

class Disruption:
    """How many pods may be evicted at a time."""

class Strategy:
    """How pods are replaced by those of a new revision."""

class Spread:
    """Over what pods are distributed."""

class Volume:
    """Storage that a service mounts, as `volume`, `scratch` and `.at` of a disk return it."""

class Disk:
    """Storage that several services can mount, as `disk` and `existing_volume` return it."""
    name: str
    """the name of the claim"""
    at: Callable
    """`at(path, read_only = False)` mounts it, for `volumes=`"""

class Variable:
    """Where a variable of `env=` has its value from, as `field` and `config_map` return it: it is only known in the pod."""

class File:
    """A file in the container of a service."""

class Sidecar:
    """A container that runs beside a service, in its pods."""

class Patch:
    """A change of objects of a generated chart."""

class Init:
    """A container that runs to its end before a service starts, in each of its pods."""

class Environment:
    """The environment that the pipeline is evaluated for: the value of `environment`."""
    name: str
    """the name"""
    kind: str
    """environment, clone or preview"""
    source: str
    """what it was cloned from, or empty"""
    branch: str
    """the branch of a preview, or empty"""

class Plan:
    """A plan as tests see it: what `pipe plan -o json` writes. Fields that it omits are None or empty. Plans of the same content are equal."""
    version: int
    """of the format"""
    pipeline: Any
    """what `pipeline` declares: `.name`, `.registry`…"""
    environment: Any
    """`.name`, `.kind`, `.source`, `.branch`"""
    params: list[Any]
    """each with `.name`, `.type`, `.value`, as text…"""
    stages: list[Any]
    """in running order, each with `.name`, `.order`…"""
    services: list[Any]
    """in stage order, each with `.name`, `.type`, `.stage`, `.skip`, `.image`, `.chart`, `.values`, `.workload`…"""
    builds: list[Any]
    """each with `.id`, `.source`, `.dockerfile`, `.args`…"""
    inputs: list[Any]
    """what was read, each with `.path`, `.kind`, `.digest`"""
    warnings: list[Any]
    """each with `.message`, `.hint`, `.pos`…"""
    service: Callable
    """`service(name)` returns the service of that name; the test fails if there is none"""
    build: Callable
    """`build(id)` returns the build with that ID; the test fails if there is none"""

environment: Environment
"""The environment that the pipeline is evaluated for."""
DATABASE: str
"""The type of services of `database`, for `default_stage`."""
JOB: str
"""The type of services of `job`."""
CONTAINER: str
"""The type of services of `container`."""
APPLICATION: str
"""The type of services of `application`."""
HELM: str
"""The type of services of `helm`."""
MANIFESTS: str
"""The type of services of `manifests`."""

def load(module: str, *names: str, **renamed: str) -> None: ...

def pipeline(name: str, *, namespace: str | None = None, registry: str | None = None, sbom: str | bool | None = None, build_parallelism: int = 7, deploy_parallelism: int = 7, build_ahead: bool = False, allow_contexts: list[str] = [], sign: Signing_key | None = None, verify: list[Signed] = [], scan: Scan | None = None) -> None:
    """Names the pipeline and sets options for all of it. Every Pipelinefile calls it once.

    Args:
        name: a DNS label
        namespace: the Kubernetes namespace of an environment; {pipeline} and {environment} stand for the two names; "{pipeline}-{environment}" if not given
        registry: where images are kept, such as "ghcr.io/owner/shop"; --registry or the embedded one if not given
        sbom: the image of the scanner with which builders make an SBOM of each image, such as "docker/buildkit-syft-scanner:stable-1"; False: none is made; pipe-sbom, if it is installed beside pipe, if not given
        build_parallelism: the maximum number of concurrent builds
        deploy_parallelism: the maximum number of concurrent deploys
        build_ahead: let idle build slots build for later stages
        allow_contexts: kubeconfig contexts that watch mode may change, besides local ones
        sign: who signs the images that are built: signing_key() or keyless()
        verify: which images must be signed before they are deployed, and by whom: a list of signed()
        scan: how images are scanned for vulnerabilities before they are deployed: scan()
    """

def require_version(constraint: str) -> None:
    """Requires a version of pipe. It is checked first, so that an older pipe reports its version instead of an unknown name.

    Args:
        constraint: such as ">=0.3, <2"
    """

def stage(name: str, *, order: int | None = None, description: str = "") -> Stage:
    """Declares a stage. A Pipelinefile that declares none has the four default stages.

    Args:
        name: free text, unique in the pipeline
        order: stages run in ascending order; 10 more than the stage declared before if not given
        description: what the stage is for
    """

def default_stages() -> Any:
    """Declares the four default stages, each with the rule for its type, so that others can be placed around them. Returns `struct(database, job, container, application)`.
    """

def default_stage(type: str, stage: Stage | str) -> None:
    """Sets the rule for a type: its services without `stage=` are in that stage.

    Args:
        type: DATABASE, JOB, CONTAINER, APPLICATION, HELM or MANIFESTS
        stage: the stage of services of that type that have no stage=
    """

def rename_stage(stage: Stage | str, name: str) -> None:
    """Renames a stage. A rule for it no longer applies.

    Args:
        stage: the stage, or its name
        name: the new name
    """

def remove_stage(stage: Stage | str) -> None:
    """Removes a stage. A rule for it no longer applies.

    Args:
        stage: the stage, or its name
    """

def application(name: str, *, source: Source | None = None, build: Build | None = None, image: str | Image | None = None, sync: list[Sync] = [], stage: Stage | str | None = None, skip: bool = False, chart: Chart | None = None, values: dict = {}, ports: list[Port | int] = [], env: dict[str, str | int | bool | float | Secret | Variable] = {}, secrets: dict[str, Secret | str] = {}, command: list[str] | None = None, args: list[str] | None = None, replicas: int = 1, resources: Resources | None = None, health: Health | None = None, volumes: list[Volume] = [], files: dict[str, str | Bytes | Secret | File | dict] = {}, init: list[Init] = [], sidecars: list[Sidecar] = [], patch: list[Patch] | Patch = [], labels: dict[str, str] = {}, adopt: bool = False, liveness: Health | None = None, startup: Health | None = None, autoscale: Autoscale | None = None, daemon: bool = False, service_account: str | None = None, rbac: list[Rule] = [], disruption: Disruption | None = None, strategy: Strategy | None = None, spread: list[Spread | str] = [], network: list[Service | str] | None = None, annotations: dict[str, str] = {}, pre_stop: Health | None = None, termination: str | None = None, timeout: str = "5m") -> Service:
    """Declares a service that is built from source.

    Args:
        name: unique in the pipeline, a DNS label of at most 53 characters
        source: what it is built from; the directory of the file if not given
        build: how it is built; by the Dockerfile of the source if not given
        image: an image that exists, or the image of another service, instead of a build
        sync: files that watch mode copies into running containers instead of building; a plain run ignores it
        stage: the stage of the service; the stage of the rule for its type if not given
        skip: leave the service out of actions on the environment
        chart: a Helm chart; generated if not given
        values: values for the chart, over its own
        ports: the ports it listens on; .port and .url use the first one
        env: environment variables
        secrets: environment variables that are secrets, or names of secrets
        command: replaces the entry point of the image
        args: replaces the arguments of the image
        replicas: how many pods
        resources: its resource requests and limits
        health: how to check that it is ready
        volumes: storage that outlives pods
        files: files in the container: for each absolute path the content, a secret or a file(); a dict of these is a directory
        init: containers that run to their end, one after the other, before the service starts
        sidecars: containers that run beside the service, in its pods
        patch: changes to objects of the generated chart, for what no other argument sets
        labels: for its Kubernetes objects
        adopt: adopt the existing Helm release and objects of the same names, whichever tool created them; pipe plan and pipe diff show the changes
        liveness: a check that restarts the container when it fails; let it depend on nothing else
        startup: how to check that it has started; health= if not given
        autoscale: changes the number of pods by their load, instead of replicas=
        daemon: a pod on each node, as a DaemonSet, instead of replicas=
        service_account: a ServiceAccount that exists; its own if not given
        rbac: what its own ServiceAccount may do in the Kubernetes API
        disruption: how many pods may be evicted at a time
        strategy: how pods are replaced; one after another if not given, and with volumes after the others ended
        spread: over what its pods are distributed: "zone", "host" or a label of nodes
        network: the services that may connect to it; everyone if not given. What is open to the outside stays open
        annotations: of its pods
        pre_stop: a command() or an http() request before a container is told to end
        termination: how long a pod may take to end before it is killed, in whole seconds; 30s, of a database 60s, if not given
        timeout: how long it may take until it is ready
    """

def container(name: str, *, image: str | Image, mirror: bool = True, stage: Stage | str | None = None, skip: bool = False, chart: Chart | None = None, values: dict = {}, ports: list[Port | int] = [], env: dict[str, str | int | bool | float | Secret | Variable] = {}, secrets: dict[str, Secret | str] = {}, command: list[str] | None = None, args: list[str] | None = None, replicas: int = 1, resources: Resources | None = None, health: Health | None = None, volumes: list[Volume] = [], files: dict[str, str | Bytes | Secret | File | dict] = {}, init: list[Init] = [], sidecars: list[Sidecar] = [], patch: list[Patch] | Patch = [], labels: dict[str, str] = {}, adopt: bool = False, liveness: Health | None = None, startup: Health | None = None, autoscale: Autoscale | None = None, daemon: bool = False, service_account: str | None = None, rbac: list[Rule] = [], disruption: Disruption | None = None, strategy: Strategy | None = None, spread: list[Spread | str] = [], network: list[Service | str] | None = None, annotations: dict[str, str] = {}, pre_stop: Health | None = None, termination: str | None = None, timeout: str = "5m") -> Service:
    """Declares a service that runs an image that exists.

    Args:
        name: unique in the pipeline, a DNS label of at most 53 characters
        image: a reference, or the image of another service
        mirror: copy the image into the pipeline's registry and deploy it from there
        stage: the stage of the service; the stage of the rule for its type if not given
        skip: leave the service out of actions on the environment
        chart: a Helm chart; generated if not given
        values: values for the chart, over its own
        ports: the ports it listens on; .port and .url use the first one
        env: environment variables
        secrets: environment variables that are secrets, or names of secrets
        command: replaces the entry point of the image
        args: replaces the arguments of the image
        replicas: how many pods
        resources: its resource requests and limits
        health: how to check that it is ready
        volumes: storage that outlives pods
        files: files in the container: for each absolute path the content, a secret or a file(); a dict of these is a directory
        init: containers that run to their end, one after the other, before the service starts
        sidecars: containers that run beside the service, in its pods
        patch: changes to objects of the generated chart, for what no other argument sets
        labels: for its Kubernetes objects
        adopt: adopt the existing Helm release and objects of the same names, whichever tool created them; pipe plan and pipe diff show the changes
        liveness: a check that restarts the container when it fails; let it depend on nothing else
        startup: how to check that it has started; health= if not given
        autoscale: changes the number of pods by their load, instead of replicas=
        daemon: a pod on each node, as a DaemonSet, instead of replicas=
        service_account: a ServiceAccount that exists; its own if not given
        rbac: what its own ServiceAccount may do in the Kubernetes API
        disruption: how many pods may be evicted at a time
        strategy: how pods are replaced; one after another if not given, and with volumes after the others ended
        spread: over what its pods are distributed: "zone", "host" or a label of nodes
        network: the services that may connect to it; everyone if not given. What is open to the outside stays open
        annotations: of its pods
        pre_stop: a command() or an http() request before a container is told to end
        termination: how long a pod may take to end before it is killed, in whole seconds; 30s, of a database 60s, if not given
        timeout: how long it may take until it is ready
    """

def job(name: str, *, source: Source | None = None, build: Build | None = None, image: str | Image | None = None, schedule: str | None = None, on: str = "deploy", timeout: str = "10m", retries: int = 0, time_zone: str | None = None, concurrency: str | None = None, history: int | None = None, deadline: str | None = None, stage: Stage | str | None = None, skip: bool = False, chart: Chart | None = None, values: dict = {}, ports: list[Port | int] = [], env: dict[str, str | int | bool | float | Secret | Variable] = {}, secrets: dict[str, Secret | str] = {}, command: list[str] | None = None, args: list[str] | None = None, replicas: int = 1, resources: Resources | None = None, health: Health | None = None, volumes: list[Volume] = [], files: dict[str, str | Bytes | Secret | File | dict] = {}, init: list[Init] = [], sidecars: list[Sidecar] = [], patch: list[Patch] | Patch = [], labels: dict[str, str] = {}, adopt: bool = False, liveness: Health | None = None, startup: Health | None = None, autoscale: Autoscale | None = None, daemon: bool = False, service_account: str | None = None, rbac: list[Rule] = [], disruption: Disruption | None = None, strategy: Strategy | None = None, spread: list[Spread | str] = [], network: list[Service | str] | None = None, annotations: dict[str, str] = {}, pre_stop: Health | None = None, termination: str | None = None) -> Service:
    """Declares a service that runs to its end.

    Args:
        name: unique in the pipeline, a DNS label of at most 53 characters
        source: what it is built from; the directory of the file if not given
        build: how it is built; by the Dockerfile of the source if not given
        image: an image that exists, or the image of another service, instead of a build
        schedule: when it runs, as five cron fields; once per deploy if not given
        on: the action that runs it: deploy, stop or delete
        timeout: how long it may run
        retries: how often it is retried
        time_zone: of schedule=, such as "Europe/Berlin"; that of the cluster if not given
        concurrency: what happens when it is due and still runs: Forbid skips it, Allow starts it, Replace ends the other first; Forbid if not given
        history: how many succeeded and how many failed Jobs are kept; 3 and 1 if not given
        deadline: how late it may start, in whole seconds; any time if not given
        stage: the stage of the service; the stage of the rule for its type if not given
        skip: leave the service out of actions on the environment
        chart: a Helm chart; generated if not given
        values: values for the chart, over its own
        ports: the ports it listens on; .port and .url use the first one
        env: environment variables
        secrets: environment variables that are secrets, or names of secrets
        command: replaces the entry point of the image
        args: replaces the arguments of the image
        replicas: how many pods
        resources: its resource requests and limits
        health: how to check that it is ready
        volumes: storage that outlives pods
        files: files in the container: for each absolute path the content, a secret or a file(); a dict of these is a directory
        init: containers that run to their end, one after the other, before the service starts
        sidecars: containers that run beside the service, in its pods
        patch: changes to objects of the generated chart, for what no other argument sets
        labels: for its Kubernetes objects
        adopt: adopt the existing Helm release and objects of the same names, whichever tool created them; pipe plan and pipe diff show the changes
        liveness: a check that restarts the container when it fails; let it depend on nothing else
        startup: how to check that it has started; health= if not given
        autoscale: changes the number of pods by their load, instead of replicas=
        daemon: a pod on each node, as a DaemonSet, instead of replicas=
        service_account: a ServiceAccount that exists; its own if not given
        rbac: what its own ServiceAccount may do in the Kubernetes API
        disruption: how many pods may be evicted at a time
        strategy: how pods are replaced; one after another if not given, and with volumes after the others ended
        spread: over what its pods are distributed: "zone", "host" or a label of nodes
        network: the services that may connect to it; everyone if not given. What is open to the outside stays open
        annotations: of its pods
        pre_stop: a command() or an http() request before a container is told to end
        termination: how long a pod may take to end before it is killed, in whole seconds; 30s, of a database 60s, if not given
    """

def database(name: str, *, engine: str, version: str, image: str | Image | None = None, storage: str = "10Gi", database: str | None = None, user: str | None = None, options: dict[str, str | int | bool] = {}, shared_memory: str | None = None, stage: Stage | str | None = None, skip: bool = False, chart: Chart | None = None, values: dict = {}, ports: list[Port | int] = [], env: dict[str, str | int | bool | float | Secret | Variable] = {}, secrets: dict[str, Secret | str] = {}, command: list[str] | None = None, args: list[str] | None = None, replicas: int = 1, resources: Resources | None = None, health: Health | None = None, volumes: list[Volume] = [], files: dict[str, str | Bytes | Secret | File | dict] = {}, init: list[Init] = [], sidecars: list[Sidecar] = [], patch: list[Patch] | Patch = [], labels: dict[str, str] = {}, adopt: bool = False, liveness: Health | None = None, startup: Health | None = None, autoscale: Autoscale | None = None, daemon: bool = False, service_account: str | None = None, rbac: list[Rule] = [], disruption: Disruption | None = None, strategy: Strategy | None = None, spread: list[Spread | str] = [], network: list[Service | str] | None = None, annotations: dict[str, str] = {}, pre_stop: Health | None = None, termination: str | None = None, timeout: str = "5m") -> Service:
    """Declares a database. Its user and password are generated once per environment; `.url`, `.user` and `.password` refer to them.

    Args:
        name: unique in the pipeline, a DNS label of at most 53 characters
        engine: postgresql, mysql, mariadb, redis or mongodb; another one needs image=
        version: of the engine, such as "15"; the tag of the image if none is given
        image: the engine's official image if not given
        storage: the size of its volume, a Kubernetes quantity
        database: the name of the database in the server, when it is first started; app if not given, of redis 0
        user: the user, when it is first started; app if not given
        options: options in .url, such as {"sslmode": "require"}; None removes one that is there by default
        shared_memory: the size of /dev/shm, such as "1Gi", which PostgreSQL needs for large queries; 64Mi if not given
        stage: the stage of the service; the stage of the rule for its type if not given
        skip: leave the service out of actions on the environment
        chart: a Helm chart; generated if not given
        values: values for the chart, over its own
        ports: the ports it listens on; .port and .url use the first one
        env: environment variables
        secrets: environment variables that are secrets, or names of secrets
        command: replaces the entry point of the image
        args: replaces the arguments of the image
        replicas: how many pods
        resources: its resource requests and limits
        health: how to check that it is ready
        volumes: storage that outlives pods
        files: files in the container: for each absolute path the content, a secret or a file(); a dict of these is a directory
        init: containers that run to their end, one after the other, before the service starts
        sidecars: containers that run beside the service, in its pods
        patch: changes to objects of the generated chart, for what no other argument sets
        labels: for its Kubernetes objects
        adopt: adopt the existing Helm release and objects of the same names, whichever tool created them; pipe plan and pipe diff show the changes
        liveness: a check that restarts the container when it fails; let it depend on nothing else
        startup: how to check that it has started; health= if not given
        autoscale: changes the number of pods by their load, instead of replicas=
        daemon: a pod on each node, as a DaemonSet, instead of replicas=
        service_account: a ServiceAccount that exists; its own if not given
        rbac: what its own ServiceAccount may do in the Kubernetes API
        disruption: how many pods may be evicted at a time
        strategy: how pods are replaced; one after another if not given, and with volumes after the others ended
        spread: over what its pods are distributed: "zone", "host" or a label of nodes
        network: the services that may connect to it; everyone if not given. What is open to the outside stays open
        annotations: of its pods
        pre_stop: a command() or an http() request before a container is told to end
        termination: how long a pod may take to end before it is killed, in whole seconds; 30s, of a database 60s, if not given
        timeout: how long it may take until it is ready
    """

def skip(*services: Service | str) -> None:
    """Leaves services out of actions on the environment, as `skip = True` does.

    Args:
        services: services or their names
    """

def helm(name: str, *, chart: Chart, values: dict = {}, values_files: list[str] = [], images: str = "mirror", stage: Stage | str | None = None, skip: bool = False, namespace: str | None = None, adopt: bool = False, timeout: str = "5m") -> Service:
    """Declares a service that a third-party Helm chart deploys, with the images that the chart names: see images=.

    Args:
        name: unique in the pipeline, a DNS label of at most 53 characters
        chart: the Helm chart
        values: values for the chart, over its own
        values_files: YAML files, relative to the file of the call, after those of the chart; later ones win
        images: what happens to the images that its pods name: mirror deploys copies from the pipeline's registry, by digest; keep deploys the images as they are named
        stage: the stage of the service; the stage of the rule for its type if not given
        skip: leave the service out of actions on the environment
        namespace: the Kubernetes namespace of the release, instead of that of the environment; {pipeline} and {environment} stand for the two names
        adopt: adopt the existing Helm release and objects of the same names, whichever tool created them; pipe plan and pipe diff show the changes
        timeout: how long it may take until it is ready
    """

def manifests(name: str, *sources: str | dict | Kustomization | list, images: str = "mirror", stage: Stage | str | None = None, skip: bool = False, namespace: str | None = None, adopt: bool = False, timeout: str = "5m") -> Service:
    """Declares a service that consists of Kubernetes manifests. They are deployed as one Helm release, as they are, except for the images of their pods: see images=. A CustomResourceDefinition is installed before the other objects, and is neither changed nor deleted.

    Args:
        name: unique in the pipeline, a DNS label of at most 53 characters
        sources: files of YAML documents, relative to the file of the call, objects as dicts, kustomizations, or lists of these
        images: what happens to the images that its pods name: mirror deploys copies from the pipeline's registry, by digest; keep deploys the images as they are named
        stage: the stage of the service; the stage of the rule for its type if not given
        skip: leave the service out of actions on the environment
        namespace: the Kubernetes namespace of the release, instead of that of the environment; {pipeline} and {environment} stand for the two names
        adopt: adopt the existing Helm release and objects of the same names, whichever tool created them; pipe plan and pipe diff show the changes
        timeout: how long it may take until it is ready
    """

def kustomize(dir: str) -> Kustomization:
    """Refers to a kustomization, for `manifests`. It is evaluated without plugins and without the network; everything that it refers to is in the workspace. Its files are inputs of the plan.

    Args:
        dir: a directory with a kustomization.yaml, relative to the file of the call
    """

def local(path: str = ".") -> Source:
    """Takes the source of an image from a directory of the workspace.

    Args:
        path: a directory, relative to the file of the call
    """

def git(url: str, *, ref: str = "HEAD", path: str = "") -> Source:
    """Takes the source of an image, or a chart, from a git repository.

    Args:
        url: of the repository: https://, ssh:// or git@host:path
        ref: a branch, a tag or a commit
        path: a directory of the repository
    """

def dockerfile(*, context: str = ".", file: str = "Dockerfile", target: str | None = None, args: dict[str, str | Image] = {}, platforms: list[str] = [], secrets: list[Secret | str] = [], labels: dict[str, str] = {}) -> Build:
    """Describes how an image is built.

    Args:
        context: the directory that COPY copies from, relative to the source
        file: the Dockerfile, relative to the context
        target: the stage of the Dockerfile to build; the last if not given
        args: values of ARG; the image of a service is built before, and its reference is the value
        platforms: such as "linux/arm64"; the builder's own if empty
        secrets: for RUN --mount=type=secret,id=NAME
        labels: of the image
    """

def command_build(command: list[str], *, inputs: list[str] = [], output: str | None = None, image: str | None = None, env: dict[str, str] = {}, platforms: list[str] = []) -> Build:
    """Describes how a program of this machine makes an image. pipe run runs it in the directory of the source, if no image of the same inputs exists.

    Args:
        command: the program and its arguments, such as ["bazel", "run", "//api:image", "--", "$(PIPE_OUTPUT)"]; no shell
        inputs: patterns of the files that the image depends on, relative to the source; those that begin with ! leave files out again; all that .dockerignore does not exclude if empty
        output: a directory or a file of the source that the program writes the image to; the value of the variable PIPE_OUTPUT if not given
        image: the name of the image, such as "api:1.2", if the program writes several
        env: the environment of the program, besides PATH, HOME, PIPE_OUTPUT and PIPE_PLATFORMS
        platforms: such as "linux/arm64"; the builder's own if empty
    """

def go_image(package: str = ".", *, base: str | Image, flags: list[str] = [], env: dict[str, str] = {}, platforms: list[str] = []) -> Build:
    """Describes an image of a Go program, which the go command of this machine compiles, without a Dockerfile.

    Args:
        package: the directory of the main package, relative to the source, such as "./cmd/api"
        base: the image to add the program to: a reference, the image of a service, or "scratch" for none
        flags: more flags of go build, such as ["-tags=netgo", "-ldflags=-s -w"]
        env: the environment of the go command, besides PATH and HOME, such as {"GOPRIVATE": "example.com"}
        platforms: such as "linux/arm64"; the builder's own if empty
    """

def buildpack(builder: str | Image, *, run_image: str | Image | None = None, env: dict[str, str] = {}, platforms: list[str] = []) -> Build:
    """Describes an image that Cloud Native Buildpacks make of the source inside BuildKit, without a Dockerfile and without a Docker engine.

    Args:
        builder: the builder image, such as "paketobuildpacks/builder-jammy-base:0.4": a reference, or the image of a service
        run_image: the image to add the layers of the buildpacks to, such as "paketobuildpacks/run-jammy-base:0.1": a reference, or the image of a service; the one that the builder image names if not given
        env: variables for the buildpacks, such as {"BP_GO_TARGETS": "./cmd/api"}
        platforms: such as "linux/arm64"; the builder's own if empty
    """

def sync(path: str, to: str, *, run: list[str] = [], on: list[str] = [], restart: bool = False) -> Sync:
    """Declares files that watch mode copies into running containers instead of building the image. Other commands ignore it.

    Args:
        path: a file or directory of what the image is built from, relative to the file of the call
        to: where it is in the container, absolute
        run: a command that runs in the container after files were copied, such as ["npm", "install"]
        on: files and directories below path: the command runs only after one of them has changed; after each change if empty
        restart: restart the container, so that its program starts with the changed files
    """

def chart(ref: str | Source, *, version: str | None = None, repo: str | None = None, values_files: list[str] = []) -> Chart:
    """Refers to a Helm chart, for `helm`, or for another service instead of its generated one.

    Args:
        ref: a directory or a .tgz relative to the file of the call, oci://…, a name in repo, or git()
        version: of a chart from elsewhere; the newest if not given
        repo: the address of a chart repository
        values_files: YAML files, relative to the file of the call; later ones win
    """

def port(number: int, *, name: str | None = None, protocol: str = "TCP", public: bool = False, host: str | None = None, local: int | None = None, service: int | None = None, path: str | None = None, tls: bool | Secret = False, kind: str | None = None, node_port: int | None = None, annotations: dict[str, str] = {}) -> Port:
    """Describes a port that a service listens on.

    Args:
        number: at which the container listens, 1 to 65535
        name: at most 15 lower-case letters, digits and hyphens; port-<number> if not given
        protocol: TCP, UDP or SCTP
        public: reached from outside of the cluster, through an Ingress
        host: the host name of the Ingress
        local: the port of your machine at which pipe forward, and watch mode with --forward, open it; its own number, or another one if that is taken, if not given
        service: the port at which other services reach it, which .port and .url have; number if not given
        path: the part of the host that the Ingress sends to it, such as "/api"; all of it if not given
        tls: whether the Ingress has a certificate: True, if something such as cert-manager creates the Secret HOST-tls; or the secret(), with the keys tls.crt and tls.key
        kind: of the Kubernetes Service: its type, or headless; ClusterIP if not given
        node_port: the port of the nodes, of kind NodePort or LoadBalancer; chosen by Kubernetes if not given
        annotations: of the Ingress if the port is public, otherwise of the Kubernetes Service
    """

def http(path: str, *, port: Port | int | None = None, headers: dict[str, str] = {}, period: str | None = None, timeout: str | None = None, failures: int | None = None, delay: str | None = None) -> Health:
    """Checks health by an HTTP request.

    Args:
        path: of the request, such as "/healthz"; a status of 200 to 399 is healthy
        port: the first TCP port of the service if not given
        headers: of the request
        period: between two checks, in whole seconds; 5s of health=, 10s of liveness=, 1s of startup= if not given
        timeout: of one check, in whole seconds; 5s if not given
        failures: how many consecutive checks must fail; 3 if not given, of startup= as many as fit into the time that the service may take to start
        delay: before the first check, in whole seconds; none if not given
    """

def tcp(port: Port | int | None = None, *, period: str | None = None, timeout: str | None = None, failures: int | None = None, delay: str | None = None) -> Health:
    """Checks health by a connection.

    Args:
        port: the first TCP port of the service if not given
        period: between two checks, in whole seconds; 5s of health=, 10s of liveness=, 1s of startup= if not given
        timeout: of one check, in whole seconds; 5s if not given
        failures: how many consecutive checks must fail; 3 if not given, of startup= as many as fit into the time that the service may take to start
        delay: before the first check, in whole seconds; none if not given
    """

def grpc(port: Port | int | None = None, *, service: str | None = None, period: str | None = None, timeout: str | None = None, failures: int | None = None, delay: str | None = None) -> Health:
    """Checks health by the gRPC health protocol, grpc.health.v1.

    Args:
        port: the first TCP port of the service if not given
        service: the name that the server is asked for; empty if not given
        period: between two checks, in whole seconds; 5s of health=, 10s of liveness=, 1s of startup= if not given
        timeout: of one check, in whole seconds; 5s if not given
        failures: how many consecutive checks must fail; 3 if not given, of startup= as many as fit into the time that the service may take to start
        delay: before the first check, in whole seconds; none if not given
    """

def command(*argv: str, period: str | None = None, timeout: str | None = None, failures: int | None = None, delay: str | None = None) -> Health:
    """Checks health by a command that runs in the container.

    Args:
        argv: the program and its arguments; an exit status of 0 is healthy
        period: between two checks, in whole seconds; 5s of health=, 10s of liveness=, 1s of startup= if not given
        timeout: of one check, in whole seconds; 5s if not given
        failures: how many consecutive checks must fail; 3 if not given, of startup= as many as fit into the time that the service may take to start
        delay: before the first check, in whole seconds; none if not given
    """

def resources(*, cpu: str | None = None, memory: str | None = None, cpu_limit: str | None = None, memory_limit: str | None = None) -> Resources:
    """Describes the resource requests and limits of a container, as Kubernetes quantities.

    Args:
        cpu: the request, in cores, such as "500m" or "2"
        memory: the request, such as "256Mi"
        cpu_limit: the limit
        memory_limit: the limit; a container that exceeds it is killed
    """

def autoscale(min: int, max: int, *, cpu: int | str | None = None, memory: int | str | None = None) -> Autoscale:
    """Scales the pods of a service by their average load.

    Args:
        min: the minimum number of pods
        max: the maximum number of pods
        cpu: the target average: a percentage of the request in resources=, such as 80, or a quantity such as "500m"
        memory: the target average: a percentage of the request in resources=, such as 80, or a quantity such as "512Mi"
    """

def rule(resources: list[str], verbs: list[str], *, groups: list[str] | None = None, names: list[str] = [], cluster: bool = False) -> Rule:
    """Allows a service to use resources of the Kubernetes API, for `rbac=`.

    Args:
        resources: such as ["pods", "pods/log"]; ["*"] are all
        verbs: such as ["get", "list", "watch"]; ["*"] are all
        groups: the API groups of the resources, such as "apps"; "", the core group of pods, Secrets and Services, if not given
        names: of the objects; all if not given
        cluster: in all namespaces, and for resources that are in none
    """

def disruption(*, min_available: int | str | None = None, max_unavailable: int | str | None = None) -> Disruption:
    """Limits how many pods are evicted at a time, such as when a node is drained.

    Args:
        min_available: how many pods stay available, such as 1 or "50%"
        max_unavailable: how many pods are evicted at a time, such as 1 or "50%"
    """

def strategy(*, recreate: bool = False, surge: int | str | None = None, unavailable: int | str | None = None) -> Strategy:
    """Describes how the pods of a service are replaced by those of a new revision.

    Args:
        recreate: whether all pods end before new ones start
        surge: how many additional pods there may be meanwhile, such as 1 or "25%"; "25%" if not given
        unavailable: how many pods may be missing meanwhile, such as 0 or "25%"; "25%" if not given
    """

def spread(over: str, *, required: bool = False) -> Spread:
    """Distributes the pods of a service evenly, for `spread=`.

    Args:
        over: "zone", "host", or a label of nodes
        required: whether a pod waits instead of making the distribution uneven
    """

def volume(path: str, *, size: str, name: str | None = None, storage_class: str | None = None, access: str = "ReadWriteOnce") -> Volume:
    """Describes storage that outlives the pods of a service.

    Args:
        path: where it is mounted, absolute
        size: a Kubernetes quantity, such as "10Gi"
        name: made from the path if not given; another name is another volume
        storage_class: the storage class of the claim; the cluster's default if not given
        access: which pods can mount it: ReadWriteOnce, those of one node; ReadWriteMany, all; ReadWriteOncePod, one
    """

def disk(name: str, *, size: str, storage_class: str | None = None, access: str = "ReadWriteOnce") -> Disk:
    """Declares storage that several services can mount, with `.at(path)` in `volumes=`. It outlives all of them.

    Args:
        name: the name of its claim, unique in the namespace; another name is another disk
        size: a Kubernetes quantity, such as "10Gi"
        storage_class: the storage class of the claim; the cluster's default if not given
        access: which pods can mount it: ReadWriteOnce, those of one node; ReadWriteMany, all; ReadWriteOncePod, one
    """

def existing_volume(claim: str, *, access: str = "ReadWriteOnce") -> Disk:
    """Refers to a PersistentVolumeClaim that exists, which services mount with `.at(path)` in `volumes=`. It is never changed or deleted.

    Args:
        claim: the name of a PersistentVolumeClaim in the namespace
        access: the access mode that the claim has
    """

def scratch(path: str, *, size: str | None = None, memory: bool = False) -> Volume:
    """Describes an empty directory that is deleted with its pod. It can be written to even if the file system of the container cannot.

    Args:
        path: where it is mounted, absolute, such as "/tmp" or "/dev/shm"
        size: at most, a Kubernetes quantity; a pod that writes more is evicted
        memory: keep it in memory, as a tmpfs; it counts as memory of the container
    """

def file(content: str | Bytes | Secret | None = None, *, source: str | None = None, mode: int | None = None) -> File:
    """Describes a file for `files=` that has permissions of its own, or content that is not text. A file of the workspace is an input of the plan.

    Args:
        content: the content: text, bytes, or a secret whose value it is
        source: a file of the workspace with the content, which need not be text, relative to the file of the call
        mode: the permissions, such as 0o440; 0o644 if not given
    """

def field(path: str) -> Variable:
    """Refers to a field of the pod, or to a request or limit of the container, for a variable in `env=`.

    Args:
        path: the field, such as "status.podIP", "metadata.labels['app']" or "limits.memory"
    """

def config_map(name: str, *, key: str) -> Variable:
    """Refers to a key of a ConfigMap that exists, for a variable in `env=`. Values that the Pipelinefile knows are written in `env=` itself.

    Args:
        name: the name of a ConfigMap in the namespace, which something else creates
        key: the key in it
    """

def sidecar(name: str, *, image: str | Image | None = None, mirror: bool = True, source: Source | None = None, build: Build | None = None, env: dict[str, str | int | bool | float | Secret | Variable] = {}, secrets: dict[str, Secret | str] = {}, command: list[str] | None = None, args: list[str] | None = None, resources: Resources | None = None, mounts: list[str] = [], health: Health | None = None) -> Sidecar:
    """Describes a container that runs beside a service, in its pods: they share the network and what `mounts=` names.

    Args:
        name: unique in the service, and not its name
        image: an image that exists, or the image of another service; that of the service itself if neither image, source nor build is given
        mirror: copy the image into the pipeline's registry and deploy it from there
        source: what it is built from
        build: how it is built; by the Dockerfile of the source if not given
        env: environment variables
        secrets: environment variables that are secrets, or names of secrets
        command: replaces the entry point of the image
        args: replaces the arguments of the image
        resources: its resource requests and limits
        mounts: paths where the service has files or volumes: the container has the same ones there
        health: how to check that it is ready; the service starts after that
    """

def init(name: str, *, image: str | Image | None = None, mirror: bool = True, source: Source | None = None, build: Build | None = None, env: dict[str, str | int | bool | float | Secret | Variable] = {}, secrets: dict[str, Secret | str] = {}, command: list[str] | None = None, args: list[str] | None = None, resources: Resources | None = None, mounts: list[str] = []) -> Init:
    """Describes a container that runs to its end before a service starts, in each of its pods.

    Args:
        name: unique in the service, and not its name
        image: an image that exists, or the image of another service; that of the service itself if neither image, source nor build is given
        mirror: copy the image into the pipeline's registry and deploy it from there
        source: what it is built from
        build: how it is built; by the Dockerfile of the source if not given
        env: environment variables
        secrets: environment variables that are secrets, or names of secrets
        command: replaces the entry point of the image
        args: replaces the arguments of the image
        resources: its resource requests and limits
        mounts: paths where the service has files or volumes: the container has the same ones there
    """

def patch(kind: str, name: str | None = None, *, merge: dict = {}, json: list[dict] = []) -> Patch:
    """Changes objects of a generated chart, by their kind and name. The fields are checked here, and the existence of the object when the chart is rendered.

    Args:
        kind: of the objects, such as "Deployment"
        name: of the object; all of the kind if not given
        merge: a strategic merge patch, as of kubectl patch: None deletes a field
        json: the operations of a JSON patch: add, replace, remove and test
    """

def secret(name: str, *, key: str | None = None) -> Secret:
    """Refers to a secret. The reference can be given to `env=`, `secrets=`, `files=` and the `values=` of a chart; the Pipelinefile never sees the value, and no plan contains it.

    Args:
        name: the secret's name where secrets come from: a Kubernetes Secret, a file, a variable
        key: the key in it; not needed if there is only one
    """

def signing_key(key: Secret, *, password: Secret | None = None) -> Signing_key:
    """Names the key that signs the images that are built, for `sign=` of pipeline().

    Args:
        key: a private key in PEM, as cosign generate-key-pair or openssl genpkey write it: ECDSA P-256, Ed25519 or RSA
        password: of an encrypted key
    """

def keyless(identity: str, *, issuer: str, trusted_root: str | None = None, signing_config: str | None = None) -> Signing_key:
    """Signs the images that are built without a key, as the identity of a job of CI, for `sign=` of pipeline().

    Args:
        identity: as whom: the address of the workflow of a CI, such as "https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main", or an e-mail address
        issuer: the address of the OpenID Connect provider that authenticates it, such as "https://token.actions.githubusercontent.com"
        trusted_root: of an instance of Sigstore of your own: the JSON of its trusted root, such as read_file("trusted_root.json"); the public instance if not given
        signing_config: of the same instance: the JSON that says where its services are, such as read_file("signing_config.json")
    """

def signed(images: str | list[str], *, key: str | list[str] = [], exclude: str | list[str] = [], identity: str | list[str] = [], identity_regexp: str | list[str] = [], issuer: str | None = None, trusted_root: str | None = None) -> Signed:
    """Requires a signature of images before they are deployed, for `verify=` of pipeline().

    Args:
        images: names of images without tags, such as "ghcr.io/acme/*", in which * stands for any characters, also slashes
        key: a public key in PEM, such as read_file("cosign.pub"); of several, and of the identities, one must have signed
        exclude: names of images that the rule does not cover, in the same form as images=
        identity: who must have signed without a key, exactly: the address of the workflow of a CI, such as "https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main", or an e-mail address
        identity_regexp: the same as a regular expression, which begins with ^ and ends with $
        issuer: the address of the OpenID Connect provider that has authenticated the identity, such as "https://token.actions.githubusercontent.com"
        trusted_root: of an instance of Sigstore of your own: the JSON of its trusted root, such as read_file("trusted_root.json"); the public instance if not given
    """

def scan(image: str, command: list[str], *, max: str, every: str = "24h", ignore: list[Exception] = [], env: dict[str, str] = {}) -> Scan:
    """Describes how images are scanned for vulnerabilities before they are deployed, for `scan=` of pipeline(). The scanner writes SARIF 2.1.0, or CycloneDX 1.4 to 1.6 as JSON.

    Args:
        image: the image of the scanner, by digest, such as "registry.example.com/trivy@sha256:…"
        command: the program in that image and its arguments; $(PIPE_ROOTFS) is the directory with the files of the image to scan, $(PIPE_REPORT) the file to write, $(PIPE_CACHE) a directory that the builder keeps; no shell
        max: the highest severity that may be deployed: a finding above it stops the deploy
        every: after which time an image is scanned again
        ignore: vulnerabilities that may be deployed until a date: a list of exception()
        env: the environment of the program, besides that of its image, PIPE_ROOTFS, PIPE_REPORT and PIPE_CACHE, which can be in the values as in command=
    """

def exception(id: str, *, reason: str, until: str) -> Exception:
    """Ignores a vulnerability until a date, for `ignore=` of scan(). After that day it has no effect, and runs warn about it.

    Args:
        id: the identifier of the vulnerability, such as "CVE-2026-12345"
        reason: why it may be deployed
        until: the last day on which it is ignored, in UTC, such as "2027-01-31"
    """

def param(name: str, *, default: str | int | bool | float | None = None, type: str = "string", choices: list[str | int | bool | float] | None = None, help: str = "") -> str | int | bool | float:
    """Declares a parameter of the pipeline and returns its value.

    Args:
        name: as given with --set NAME=VALUE or in a parameter file
        default: the value if none is given; without a default, a value is required
        type: string, int, bool or float
        choices: the values that are possible
        help: what the parameter is for
    """

def read_file(path: str) -> str:
    """Returns the text of a file. The file is an input of the plan.

    Args:
        path: a file, relative to the file of the call
    """

def read_json(path: str) -> Any:
    """Returns the content of a JSON file. The file is an input of the plan.

    Args:
        path: a file, relative to the file of the call
    """

def read_yaml(path: str) -> Any:
    """Returns the content of a YAML file, or of its first document. The file is an input of the plan.

    Args:
        path: a file, relative to the file of the call
    """

def read_yaml_all(path: str) -> list:
    """Returns the values of all documents of a YAML file; empty documents are left out. The file is an input of the plan.

    Args:
        path: a file, relative to the file of the call
    """

def read_toml(path: str) -> dict:
    """Returns the content of a TOML file; dates are strings. The file is an input of the plan.

    Args:
        path: a file, relative to the file of the call
    """

def read_env(path: str) -> dict[str, str]:
    """Returns the variables of a file with lines NAME=VALUE, such as `.env`, in their order. Values can be in quotes; `$` has no meaning. The file is an input of the plan.

    Args:
        path: a file, relative to the file of the call
    """

def glob(pattern: str, *, exclude: list[str] = []) -> list[str]:
    """Returns the files that match a pattern, sorted. Pattern and results are relative to the file of the call. Names that start with a dot match only where the pattern has the dot; directories do not match.

    Args:
        pattern: a path with *, ?, [a-z] in its names, and ** for any number of directories
        exclude: patterns of files to leave out
    """

class yaml:
    @staticmethod
    def encode(value: Any) -> str:
        """Returns a value as YAML, with sorted keys.

        Args:
            value: dicts with strings as keys, lists, strings, numbers, True, False, None
        """
    @staticmethod
    def decode(text: str) -> Any:
        """Returns the value of a YAML string, or of its first document.

        Args:
            text: a YAML document
        """

def warn(*message: Any, sep: str = " ") -> None:
    """Adds a warning to the plan.

    Args:
        message: what to say; several values are joined by spaces
        sep: separates them
    """

def fail(*message: Any, sep: str = " ") -> None:
    """Ends evaluation with a message.

    Args:
        message: what to say; several values are joined by spaces
        sep: separates them
    """

def print(*args: Any, sep: str = " ") -> None:
    """Shows values in the run's events, with the position of the call.

    Args:
        args: what to show
        sep: separates them
    """

def struct(**fields: Any) -> Any:
    """Returns a value with these attributes.

    Args:
        *fields: the attributes, by name
    """

class json:
    @staticmethod
    def encode(x: Any) -> str:
        """Returns a value as JSON, with sorted keys.

        Args:
            x: dicts with strings as keys, structs, lists, strings, numbers, True, False, None
        """
    @staticmethod
    def encode_indent(x: Any, *, prefix: str = "", indent: str = "\t") -> str:
        """Returns a value as indented JSON.

        Args:
            x: as of json.encode
            prefix: starts each line
            indent: the indentation of each level
        """
    @staticmethod
    def decode(x: str, default: Any | None = None) -> Any:
        """Returns the value of a JSON string.

        Args:
            x: the string
            default: returned if the string is not valid JSON; that is an error if not given
        """
    @staticmethod
    def indent(str: str, *, prefix: str = "", indent: str = "\t") -> str:
        """Returns a JSON string with indentation.

        Args:
            str: the string
            prefix: starts each line
            indent: the indentation of each level
        """

class math:
    e: float
    pi: float
    @staticmethod
    def ceil(x: float) -> float:
        """Returns the least whole number that is not less than x, as an int.

        Args:
            x: a number
        """
    @staticmethod
    def floor(x: float) -> float:
        """Returns the greatest whole number that is not more than x, as an int.

        Args:
            x: a number
        """
    @staticmethod
    def round(x: float) -> float:
        """Returns the nearest whole number, halves away from zero.

        Args:
            x: a number
        """
    @staticmethod
    def fabs(x: float) -> float:
        """Returns x without its sign.

        Args:
            x: a number
        """
    @staticmethod
    def sqrt(x: float) -> float:
        """Returns the square root.

        Args:
            x: a number
        """
    @staticmethod
    def exp(x: float) -> float:
        """Returns e to the power of x.

        Args:
            x: a number
        """
    @staticmethod
    def log(x: float, base: float = math.e) -> float:
        """Returns the logarithm.

        Args:
            x: a number
            base: of the logarithm
        """
    @staticmethod
    def pow(x: float, y: float) -> float:
        """Returns x to the power of y.

        Args:
            x: a number
            y: another
        """
    @staticmethod
    def mod(x: float, y: float) -> float:
        """Returns the remainder of x divided by y, with the sign of x.

        Args:
            x: a number
            y: another
        """
    @staticmethod
    def remainder(x: float, y: float) -> float:
        """Returns the remainder of x divided by y, rounded to the nearest whole number.

        Args:
            x: a number
            y: another
        """
    @staticmethod
    def copysign(x: float, y: float) -> float:
        """Returns x with the sign of y.

        Args:
            x: a number
            y: another
        """
    @staticmethod
    def hypot(x: float, y: float) -> float:
        """Returns the length of the vector (x, y).

        Args:
            x: a number
            y: another
        """
    @staticmethod
    def atan2(x: float, y: float) -> float:
        """Returns the angle of the vector (y, x).

        Args:
            x: a number
            y: another
        """
    @staticmethod
    def gamma(x: float) -> float:
        """Returns the gamma function.

        Args:
            x: a number
        """
    @staticmethod
    def degrees(x: float) -> float:
        """Returns an angle in degrees.

        Args:
            x: a number
        """
    @staticmethod
    def radians(x: float) -> float:
        """Returns an angle in radians.

        Args:
            x: a number
        """
    @staticmethod
    def sin(x: float) -> float:
        """Returns the sine.

        Args:
            x: a number
        """
    @staticmethod
    def cos(x: float) -> float:
        """Returns the cosine.

        Args:
            x: a number
        """
    @staticmethod
    def tan(x: float) -> float:
        """Returns the tangent.

        Args:
            x: a number
        """
    @staticmethod
    def asin(x: float) -> float:
        """Returns the arc sine.

        Args:
            x: a number
        """
    @staticmethod
    def acos(x: float) -> float:
        """Returns the arc cosine.

        Args:
            x: a number
        """
    @staticmethod
    def atan(x: float) -> float:
        """Returns the arc tangent.

        Args:
            x: a number
        """
    @staticmethod
    def sinh(x: float) -> float:
        """Returns the hyperbolic sine.

        Args:
            x: a number
        """
    @staticmethod
    def cosh(x: float) -> float:
        """Returns the hyperbolic cosine.

        Args:
            x: a number
        """
    @staticmethod
    def tanh(x: float) -> float:
        """Returns the hyperbolic tangent.

        Args:
            x: a number
        """
    @staticmethod
    def asinh(x: float) -> float:
        """Returns the inverse hyperbolic sine.

        Args:
            x: a number
        """
    @staticmethod
    def acosh(x: float) -> float:
        """Returns the inverse hyperbolic cosine.

        Args:
            x: a number
        """
    @staticmethod
    def atanh(x: float) -> float:
        """Returns the inverse hyperbolic tangent.

        Args:
            x: a number
        """

# Only files *_test.star have what follows, and only "pipe test" runs them.

def plan(file: str = "Pipelinefile", *, text: str | None = None, params: dict[str, str | int | bool | float] = {}, environment: str = "default", kind: str = "environment", source: str = "", branch: str = "") -> Plan:
    """Evaluates a Pipelinefile, and returns its plan. The test fails if the Pipelinefile has errors.

    Args:
        file: a Pipelinefile, relative to the file of the test
        text: the content to use instead of that of the file, which need not exist
        params: values of parameters, as --set gives them
        environment: the environment that it is evaluated for
        kind: of the environment: environment, clone or preview
        source: what the environment was cloned from
        branch: the branch of a preview
    """

def plan_error(file: str = "Pipelinefile", *, text: str | None = None, params: dict[str, str | int | bool | float] = {}, environment: str = "default", kind: str = "environment", source: str = "", branch: str = "") -> str:
    """Evaluates a Pipelinefile that must have errors, and returns these as they are shown. The test fails if it has none.

    Args:
        file: a Pipelinefile, relative to the file of the test
        text: the content to use instead of that of the file, which need not exist
        params: values of parameters, as --set gives them
        environment: the environment that it is evaluated for
        kind: of the environment: environment, clone or preview
        source: what the environment was cloned from
        branch: the branch of a preview
    """

def golden(value: Plan | str | Any, file: str) -> None:
    """Compares a value with the content of a file. If they differ, the test fails, and `pipe test --update` writes the file. A plan is written as JSON without positions and digests of inputs, so that the file only changes with what is deployed.

    Args:
        value: a plan, a string that is compared as it is, or a value that JSON can represent
        file: in a directory named testdata, relative to the file of the test
    """
