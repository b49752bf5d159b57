package lint

// A Rule is one kind of finding.
type Rule struct {
	Name    string
	Summary string // one sentence
	Doc     string // Markdown: why it matters, and what to do
	Fixes   bool   // findings have a fix, mostly
}

// ofPlan are the rules whose findings only a plan shows.
var ofPlan = []string{"build-env", "env-order", "host-later", "latest-tag", "own-credentials", "share-stage", "skipped-used", "unbuilt", "unpinned-chart"}

// rules is the one table of what is looked for: docs/lint.md and SARIF
// are made from it.
var rules = []Rule{
	{
		"build-env", "A build argument carries the name of the environment.",
		"An image is for every environment: its identity is made of its arguments, too, so that such an argument makes each environment build an image of its own " +
			"which no other has tested. Give the name when it runs: with `env=`.", false,
	},
	{
		"dockerfile", "A Dockerfile has a mistake that BuildKit knows.",
		"These are the build checks of BuildKit, such as `JSONArgsRecommended` or `FromAsCasing`; the finding names the check. They are made " +
			"without a builder and without a network. In a Dockerfile, `# check=skip=NAME` before the first instruction turns one off.", false,
	},
	{
		"env-order", "A variable contains one that comes after it.",
		"Kubernetes expands `$(NAME)` in the value of a variable only if `NAME` comes before it; otherwise the program gets `$(NAME)` as it is. Variables have the order " +
			"of `env=`, and those of `secrets=` come before them. Move the other one up.", false,
	},
	{
		"host-later", "A service uses the host of a service in a later stage.",
		"`.host` is the name of a service that is deployed after this one: at the first deploy nobody answers there. Move one of the two to another stage, " +
			"or let the service that uses it wait by itself, and say so.", false,
	},
	{
		"latest-tag", "An image has no tag or the tag `latest`.",
		"What such a tag means changes without any change of the Pipelinefile, so that a deploy of an old commit brings new software. Name a version, or a digest.", false,
	},
	{
		"own-credentials", "The credentials of a database are named as a secret.",
		"The Secret `NAME-credentials` of a database `NAME` is made by `pipe` when it is deployed: nobody has to make it. Write the attributes of the database, such as `db.url` or " +
			"`db.password`: they follow the database when its name changes, and a misspelt one is found here and not in the cluster.", false,
	},
	{
		"shadow", "A name hides a builtin.",
		"After `port = 80` in a file, `port(80)` is an error, and who reads the file takes one for the other. Choose another name.", false,
	},
	{
		"share-stage", "A stage could run together with the one before it.",
		"Stages run one after the other. No service of this one uses anything of the stage before it, and both were declared by hand: in one stage they would be " +
			"deployed at the same time. Put them into one stage, or say why the order matters.", false,
	},
	{
		"silenced", "A comment silences a finding without a reason, or none.",
		"A finding is silenced by `# lint: ignore RULE: reason` at the end of its line or on the line before it. Without a reason nobody will dare to remove it; " +
			"where there is no finding, it hides the next one.", true,
	},
	{
		"skipped-used", "A service uses one that is skipped.",
		"What is skipped is not deployed: where it never was, nothing answers at its host, and the service that uses it does not get ready. `pipe plan` and `pipe run` say so " +
			"where the environment does not have it. Give the service another address where the other one is skipped, or silence this where it is deployed by hand.", false,
	},
	{
		"unbuilt", "A chart leaves a Dockerfile out.",
		"An `application` or a `job` with `chart=` builds nothing unless `source=` or `build=` says so, as most charts bring their own images. The Dockerfile beside this one is built " +
			"by nobody. Write `source = local(\".\")` if the chart is to get that image, `source = None` if not.", false,
	},
	{
		"unpinned-chart", "A chart from elsewhere has no version.",
		"The newest chart of tomorrow is not the one that was tested today. Give `version=`, and change it on purpose.", false,
	},
	{
		"unused-load", "A name is loaded and not used.",
		"A module that is loaded for nothing is evaluated and watched all the same.", true,
	},
	{
		"unused-name", "A local name is assigned and not used.",
		"It is mostly a misspelt name or what is left of an earlier version. A name that starts with `_` is not looked at. Names at the top of a module can be " +
			"used by who loads it: those of a Pipelinefile cannot.", true,
	},
}

// Rules returns what is looked for, sorted by name.
func Rules() []Rule { return append([]Rule(nil), rules...) }
