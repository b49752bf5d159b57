package plan_test

import (
	"fmt"
	"time"

	"github.com/pipelinefile/pipe/plan"
)

func ExampleRisks() {
	fmt.Println(plan.Risks())
	// Output: [none low medium high critical]
}

func ExampleRisk_Rank() {
	fmt.Println(plan.RiskCritical.Rank() > plan.RiskHigh.Rank(), plan.RiskUnknown.Rank() == plan.RiskHigh.Rank())
	// Output: true true
}

func ExampleRiskOf() {
	for _, score := range []float64{0, 0.1, 3.9, 4, 6.9, 7, 8.9, 9, 10, 11, -1} {
		fmt.Println(score, plan.RiskOf(score))
	}
	// Output:
	// 0 none
	// 0.1 low
	// 3.9 low
	// 4 medium
	// 6.9 medium
	// 7 high
	// 8.9 high
	// 9 critical
	// 10 critical
	// 11 unknown
	// -1 unknown
}

func ExampleScan_Key() {
	one := &plan.Scan{Image: "registry.example.com/scanner@sha256:00", Command: []string{"scan"}, Max: plan.RiskHigh}
	other := *one
	other.Max = plan.RiskLow
	fmt.Println(one.Key() == other.Key())
	other.Env = map[string]string{}
	fmt.Println(one.Key() == other.Key())
	other.Command = []string{"scan", "--offline"}
	fmt.Println(one.Key() == other.Key())
	// Output:
	// true
	// true
	// false
}

func ExampleException_Expired() {
	e := plan.Exception{ID: "CVE-2026-12345", Until: "2027-01-31"}
	fmt.Println(e.Expired(time.Date(2027, 1, 31, 23, 59, 0, 0, time.UTC)), e.Expired(time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)))
	// Output: false true
}

func ExampleScan_Exception() {
	s := &plan.Scan{Ignore: []plan.Exception{{ID: "CVE-2026-12345", Until: "2026-01-31"}, {ID: "CVE-2026-12345", Until: "2027-01-31"}}}
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println(s.Exception("cve-2026-12345", now).Until, s.Exception("CVE-2026-1", now))
	// Output: 2027-01-31 <nil>
}
