// Package redact removes credentials from strings that are shown, stored or sent. It is
// the only implementation of each rule. [URLs] removes the user and the password from
// addresses.
package redact

// Mark replaces what is removed.
const Mark = "REDACTED"
