package chart

import (
	"testing"

	"github.com/pipelinefile/pipe/plan"
)

// TestURLs: the URL of a database has its name, its user and its options, in each form.
func TestURLs(t *testing.T) {
	query := "a=b+c"
	for _, tt := range []struct {
		engine string
		access plan.DatabaseAccess
		form   string // empty: .url
		want   string
	}{
		{"postgresql", plan.DatabaseAccess{}, "", "postgresql://app:p%2Fw@db:5432/app?sslmode=disable"},
		{"postgresql", plan.DatabaseAccess{Name: "shop", User: "owner", Query: &query}, "", "postgresql://owner:p%2Fw@db:5432/shop?a=b+c"},
		{"postgresql", plan.DatabaseAccess{Name: "shop"}, "jdbc", "jdbc:postgresql://db:5432/shop?user=app&password=p%2Fw&sslmode=disable"},
		{"postgresql", plan.DatabaseAccess{}, "postgresql+asyncpg", "postgresql+asyncpg://app:p%2Fw@db:5432/app?sslmode=disable"},
		{"mysql", plan.DatabaseAccess{}, "mysql2", "mysql2://app:p%2Fw@db:3306/app"},
		{"mysql", plan.DatabaseAccess{}, "jdbc", "jdbc:mysql://db:3306/app?user=app&password=p%2Fw"},
		{"mariadb", plan.DatabaseAccess{}, "jdbc", "jdbc:mariadb://db:3306/app?user=app&password=p%2Fw"},
		{"redis", plan.DatabaseAccess{Name: "3"}, "rediss", "rediss://default:p%2Fw@db:6379/3"},
		{"mongodb", plan.DatabaseAccess{Name: "shop"}, "", "mongodb://app:p%2Fw@db:27017/shop?authSource=admin"},
	} {
		s := plan.Service{Name: "db", Workload: plan.Workload{Database: &plan.DatabaseSpec{Engine: tt.engine, DatabaseAccess: tt.access}}}
		key := "url"
		if tt.form != "" {
			s.Workload.Database.URLs, key = []string{tt.form}, plan.URLKey(tt.form)
		}
		if got := Credentials(s, User(s), "p/w")[key]; got != tt.want {
			t.Errorf("%s of %s = %q, want %q", key, tt.engine, got, tt.want)
		}
	}
}
