package lint

// A Rule is one kind of finding.
type Rule struct {
	Name    string
	Summary string // one sentence
	Doc     string // Markdown: why it matters, and what to do
	Fixes   bool   // most findings have a fix
}

// ofPlan are the rules whose findings need a plan.
var ofPlan = []string{"build-env", "covers-nothing", "env-order", "host-later", "latest-tag", "own-credentials", "share-stage", "shared-disk", "skipped-used", "unbuilt", "unpinned-chart", "unscanned", "unverified"}

// rules is the table of all rules: docs/lint.md and SARIF are generated from it.
var rules = []Rule{
	{
		"build-env", "A build argument, or a variable of a program that makes an image, contains the name of the environment.",
		"An image should be the same in every environment. Build arguments and variables are part of its identity, so such a value makes each environment build its own image, " +
			"which no other environment has tested. Pass the name at run time with `env=`.", false,
	},
	{
		"covers-nothing", "A pattern of `signed()` covers no image.",
		"A misspelt pattern requires no signature of anything. Patterns are compared with complete names without tags, such as `docker.io/library/redis`; `*` stands for any characters. There is no finding " +
			"if the pipeline has charts or manifests that name images, builds images for a registry that it does not name, or has more than 100,000 pairs of a pattern and an image.", false,
	},
	{
		"dockerfile", "A Dockerfile has a mistake that BuildKit knows.",
		"These are the build checks of BuildKit, such as `JSONArgsRecommended` or `FromAsCasing`; the finding names the check. They run " +
			"without a builder and without a network. In a Dockerfile, `# check=skip=NAME` before the first instruction turns one off.", false,
	},
	{
		"env-order", "A variable contains one that comes after it.",
		"Kubernetes expands `$(NAME)` in the value of a variable only if `NAME` comes before it; otherwise the program gets `$(NAME)` as it is. Variables have the order " +
			"of `env=`, and those of `secrets=` come before them. Move the other one up.", false,
	},
	{
		"host-later", "A service uses the host of a service in a later stage.",
		"`.host` is the name of a service that is deployed after this one: at the first deploy it does not answer. Move one of the two to another stage, " +
			"or make the service that uses it wait, and silence the finding.", false,
	},
	{
		"latest-tag", "An image has no tag or the tag `latest`.",
		"Such a tag can move while the Pipelinefile stays the same, so that deploying an old commit installs new software. Name a version or a digest.", false,
	},
	{
		"own-credentials", "A secret refers to the credentials of a database by name.",
		"`pipe` creates the Secret `NAME-credentials` when it deploys the database `NAME`. Use the attributes of the database, such as `db.url` or " +
			"`db.password`: they follow the database when its name changes, and a misspelt attribute is an error here and not in the cluster.", false,
	},
	{
		"shadow", "A name shadows a builtin.",
		"After `port = 80` in a file, `port(80)` is an error, and readers of the file confuse the two. Choose another name.", false,
	},
	{
		"share-stage", "A stage could run concurrently with the one before it.",
		"Stages run one after another. No service of this stage uses anything from the one before it, and both are declared explicitly: in one stage their services would be " +
			"deployed concurrently. Merge the stages, or say why the order matters.", false,
	},
	{
		"shared-disk", "Several services mount a claim that only the pods of one node can mount.",
		"A claim that is `ReadWriteOnce` is mounted on one node. A pod that lands on another one waits, until its deploy times out. Give the disk `access = \"ReadWriteMany\"` if its storage class has " +
			"that, or keep the services on one node, and silence the finding.", false,
	},
	{
		"silenced", "A comment silences a finding without a reason, or silences nothing.",
		"A finding is silenced by `# lint: ignore RULE: reason` at the end of its line or on the line before it. Without a reason nobody will dare to remove the comment; " +
			"a comment that silences nothing hides the next finding.", true,
	},
	{
		"skipped-used", "A service uses one that is skipped.",
		"A skipped service is not deployed. In an environment that does not have it, its host does not answer, and the service that uses it does not become ready. `pipe plan` and `pipe run` warn " +
			"about this. Use another address if the service is skipped, or silence the finding if it is deployed by other means.", false,
	},
	{
		"unbuilt", "A service with a chart does not build its Dockerfile.",
		"An `application` or a `job` with `chart=` builds nothing unless `source=` or `build=` says so, as most charts bring their own images. The Dockerfile in this directory is not " +
			"built. Write `source = local(\".\")` if the chart uses that image, `source = None` if it does not.", false,
	},
	{
		"unpinned-chart", "A remote chart has no version, or a chart of a git repository no ref.",
		"Tomorrow's latest chart is not the one that was tested today. Set `version=`, or `ref=` of `git()` to a tag or a commit, and upgrade deliberately.", false,
	},
	{
		"unscanned", "Images that a chart or manifests name are not scanned, although the pipeline has `scan=`.",
		"They are those that `unverified` is about: `pipe` does not look for them. Use `helm()` or `manifests()` without `images = \"keep\"`, or scan these images elsewhere.", false,
	},
	{
		"unverified", "Images that a chart or manifests name are not verified, although the pipeline has `verify=`.",
		"With `images = \"keep\"`, and for the chart of an `application`, `pipe` does not look for the images that are named there, so no rule of `signed()` applies to them, nor to an image that a `patch()` sets. Use `helm()` or `manifests()` " +
			"without `images = \"keep\"`, name the image with `image=` instead of a patch, or verify these images in the cluster.", false,
	},
	{
		"unused-load", "A name is loaded and not used.",
		"An unused module is still evaluated and watched.", true,
	},
	{
		"unused-name", "A local name is assigned and not used.",
		"Usually the name is misspelt or a leftover of an earlier version. Names that start with `_` are not checked. Top-level names of a module can be " +
			"used by the files that load it; those of a Pipelinefile cannot.", true,
	},
}

// Rules returns all rules, sorted by name.
func Rules() []Rule { return append([]Rule(nil), rules...) }
