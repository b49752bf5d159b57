// Package redact keeps credentials out of strings that are shown, stored or
// sent: each question has one answer here. [URLs] takes the user and password
// out of addresses.
package redact

// Mark replaces what is taken out.
const Mark = "REDACTED"
