package plan

import "strings"

// A DatabaseAccess says how services reach a database.
type DatabaseAccess struct {
	Name  string   `json:"name,omitempty"`  // of the database in the server; empty: "app", of redis "0"
	User  string   `json:"user,omitempty"`  // empty: "app", of redis "default"
	Query *string  `json:"query,omitempty"` // of its URLs, encoded; nil: the engine's
	URLs  []string `json:"urls,omitempty"`  // forms of the URL that services use, such as "jdbc", sorted
}

// URLKey returns the key of a form of the URL in the credentials of a database (D6), such as
// "url-jdbc". The form is a scheme, or "jdbc".
func URLKey(form string) string { return "url-" + strings.ReplaceAll(form, "+", ".") }
