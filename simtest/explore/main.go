package explore

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Main explores the scenarios whose name contains filter ("" is all), each within
// the limits, shows on w how far it is, and prints a table at the end. The error
// says that a scenario was violated; its shortest trace is on w.
func Main(w io.Writer, limits Limits, filter string) error {
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tstates\ttransitions\tdepth\texhausted\tstates/s\ttime\treached\t")
	var violated []string
	ran := 0
	for _, sc := range Scenarios() {
		if !strings.Contains(sc.Name, filter) {
			continue
		}
		ran++
		fmt.Fprintf(w, "%s: %s\n", sc.Name, sc.Claim)
		r, err := sc.Run(limits, func(p Progress) {
			fmt.Fprintf(w, "  %d states, %d to expand, depth %d, %.0f states/s\n", p.States, p.Frontier, p.Depth, p.PerSecond)
		})
		if err != nil {
			return err
		}
		if r.Violation != nil {
			violated = append(violated, sc.Name)
			r.Violation.Write(w)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%.0f\t%v\t%s\t\n", sc.Name, r.States, r.Transitions, r.Depth, r.outcome(), r.PerSecond, r.Elapsed.Round(100*time.Millisecond), r.Reached)
	}
	if ran == 0 {
		return fmt.Errorf("no scenario's name contains %q", filter)
	}
	t.Flush()
	fmt.Fprintf(w, "\n%s", table.String())
	if len(violated) > 0 {
		return fmt.Errorf("violated: %s", strings.Join(violated, ", "))
	}
	return nil
}

func (r Result) outcome() string {
	switch {
	case r.Exhausted:
		return "yes"
	case r.Violation != nil:
		return "VIOLATED"
	}
	return "no: " + r.Stopped
}
