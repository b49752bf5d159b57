package suite

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The elements of a report in the format of JUnit.
type (
	xmlReport struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Time     string     `xml:"time,attr"`
		Suites   []xmlSuite `xml:"testsuite"`
	}
	xmlSuite struct {
		Name     string    `xml:"name,attr"`
		Tests    int       `xml:"tests,attr"`
		Failures int       `xml:"failures,attr"`
		Errors   int       `xml:"errors,attr"`
		Skipped  int       `xml:"skipped,attr"`
		Time     string    `xml:"time,attr"`
		Cases    []xmlCase `xml:"testcase"`
	}
	xmlCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		File    string      `xml:"file,attr"`
		Line    int         `xml:"line,attr,omitempty"`
		Time    string      `xml:"time,attr"`
		Failure *xmlProblem `xml:"failure"`
		Error   *xmlProblem `xml:"error"`
		Out     string      `xml:"system-out,omitempty"`
	}
	xmlProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit returns a report that CI systems read: a suite for each file, a case for
// each test. A file that cannot be parsed is a case with an error.
func JUnit(files []File) ([]byte, error) {
	report := xmlReport{Name: "pipe test"}
	total := 0.0
	for _, f := range files {
		s := xmlSuite{Name: f.Name, Tests: len(f.Tests), Failures: f.Failed(), Time: seconds(f.Seconds)}
		for _, t := range f.Tests {
			s.Cases = append(s.Cases, caseOf(f, t))
		}
		if len(f.Wrong) > 0 {
			s.Tests, s.Errors = 1, 1
			var text strings.Builder
			for _, d := range f.Wrong {
				text.WriteString(d.String() + "\n")
			}
			s.Cases = []xmlCase{{
				Class: f.Name, Name: f.Name, File: f.Name, Line: f.Wrong[0].Pos.Line, Time: seconds(0),
				Error: &xmlProblem{clean(f.Wrong[0].Message), "wrong", clean(text.String())},
			}}
		}
		report.Suites = append(report.Suites, s)
		report.Tests += s.Tests
		report.Failures += s.Failures
		report.Errors += s.Errors
		total += f.Seconds
	}
	report.Time = seconds(total)
	data, err := xml.MarshalIndent(report, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(data, '\n')...), nil
}

func caseOf(f File, t Test) xmlCase {
	c := xmlCase{Class: f.Name, Name: t.Name, File: f.Name, Line: t.Pos.Line, Time: seconds(t.Seconds)}
	var out strings.Builder
	for _, line := range t.Printed {
		out.WriteString(line.Pos.String() + ": " + line.Text + "\n")
	}
	c.Out = clean(out.String())
	if len(t.Failures) > 0 {
		var text strings.Builder
		for _, failure := range t.Failures {
			text.WriteString(failure.String() + "\n" + failure.Diff)
		}
		c.Failure = &xmlProblem{clean(t.Failures[0].Message), "failure", clean(text.String())}
	}
	return c
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// clean replaces characters that XML cannot represent, even escaped.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, text)
}
