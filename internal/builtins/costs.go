package builtins

// The costs of the vocabulary, in the steps of package bounded: about the bytes that are
// allocated, or tenths of a microsecond.

// State that is kept until the plan is written.
const (
	portSize         = 200  // a port of a service, and the check that it is unique
	declarationKeeps = 256  // a call that declares something
	declarationSize  = 1000 // a declaration in the session and in the plan
	diagnosticSize   = 1000 // an error or a warning, besides its strings
	serviceKeeps     = 3000 // a call that declares a service: the service in the session, in the plan and in its JSON
)

// Input that is read.
const (
	parseSize       = 32     // a byte read by a decoder of JSON or YAML
	tomlSize        = 160    // a byte read by the decoder of TOML
	splitSize       = 10     // a byte of a file that is split into documents
	documentSteps   = 5000   // a document, for which a decoder of YAML allocates buffers
	fileSteps       = 800    // a file of a directory that is listed
	keySteps        = 5000   // a public key
	constraintSteps = 5000   // a version constraint, which is parsed with regular expressions
	folderSteps     = 20_000 // a directory that is listed
)
