package mutants

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// caught counts the starts that found the fault.
func (o Outcome) caught() int {
	n := 0
	for _, p := range o.Plays {
		if p.Caught {
			n++
		}
	}
	return n
}

// checks lists by which checks, the most frequent first.
func (o Outcome) checks() string {
	times := map[string]int{}
	var names []string
	for _, p := range o.Plays {
		if p.Caught {
			if times[p.Check]++; times[p.Check] == 1 {
				names = append(names, p.Check)
			}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(times[b], times[a]) })
	return strings.Join(names, ", ")
}

func (o Outcome) firstSeed() uint64 {
	for _, p := range o.Plays {
		if p.Caught {
			return p.Seed
		}
	}
	return 0
}

// median of a figure over the starts that found the fault.
func median[T cmp.Ordered](o Outcome, figure func(Play) T) T {
	var fs []T
	for _, p := range o.Plays {
		if p.Caught {
			fs = append(fs, figure(p))
		}
	}
	slices.Sort(fs)
	return fs[len(fs)/2]
}

// row is a line of the table: caught by, starts, median seeds, median time.
func (o Outcome) row() [4]string {
	starts := fmt.Sprintf("%d of %d", o.caught(), len(o.Plays))
	switch {
	case o.Err != nil:
		return [4]string{"NOT PLAYED", "", "", ""}
	case o.caught() == 0 && o.Redundant != "":
		return [4]string{"redundant", starts, "", ""}
	case o.caught() == 0:
		return [4]string{"NOT CAUGHT", starts, "", ""}
	}
	by := o.checks()
	if o.Redundant != "" {
		by += " (held redundant!)"
	}
	return [4]string{by, starts, fmt.Sprint(median(o, func(p Play) uint64 { return p.Seeds })),
		fmt.Sprintf("%.1f s", median(o, func(p Play) float64 { return p.Seconds }))}
}

func (o Outcome) line() string {
	r := o.row()
	switch {
	case o.Err != nil:
		return fmt.Sprintf("%-12s %v", r[0], o.Err)
	case o.caught() == 0 && o.Rule == "baseline":
		return fmt.Sprintf("%-12s %s", "as it must", o.ID())
	case o.caught() == 0:
		return fmt.Sprintf("%-12s %s", r[0], o.ID())
	}
	return fmt.Sprintf("%-12s %s: %s, %s starts, %s seeds, %s, first seed %d", "caught", o.ID(), r[0], r[1], r[2], r[3], o.firstSeed())
}

func writeText(w io.Writer, outcomes []Outcome) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "rule\tfault\tcaught by\tstarts\tseeds\ttime")
	for _, o := range outcomes {
		r := o.row()
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", o.Rule, o.Name, r[0], r[1], r[2], r[3])
	}
	t.Flush()
}

// markdown is the table as it is kept beside this package.
func markdown(outcomes []Outcome, opt Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Planted faults\n\nEach is planted in the production core at build time and played from %d first seeds, at most %v each.\n", opt.Starts, opt.For)
	b.WriteString("Seeds and time are medians of the starts that found it, on one core. Made by simtest/mutants.\n\n")
	b.WriteString("| rule | fault | what goes wrong | caught by | starts | seeds | time |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, o := range outcomes {
		r := o.row()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", o.Rule, o.Name, o.Why, r[0], r[1], r[2], r[3])
	}
	b.WriteString("\n## Redundant\n\nConditions that nobody sees to be missing, since another one holds in their place.\n\n")
	for _, o := range outcomes {
		if o.Redundant != "" {
			fmt.Fprintf(&b, "- %s: %s.\n", o.ID(), o.Redundant)
		}
	}
	return b.String()
}
