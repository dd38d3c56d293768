// Command sim is the smallest simulator that speaks as simtest/mutants expects: it
// plays TestRandom's seeds until one fails.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/simtest"
)

func main() {
	first := flag.Uint64("first", 1, "the first seed")
	seeds := flag.Uint64("seeds", 60, "how many seeds")
	most := flag.Duration("for", time.Minute, "how long at most")
	flag.Bool("until-failure", true, "stop at the first failure, as it always does")
	flag.Parse()

	began := time.Now()
	var p struct {
		Caught  bool    `json:"caught"`
		Seeds   uint64  `json:"seeds"`
		Seconds float64 `json:"seconds"`
		Events  uint64  `json:"events"`
		Check   string  `json:"check"`
		Seed    uint64  `json:"seed"`
	}
	for seed := *first; seed < *first+*seeds && time.Since(began) < *most && !p.Caught; seed++ {
		r := simtest.Run(seed, nil)
		p.Seeds++
		p.Events += uint64(r.Steps)
		if len(r.Failures) > 0 {
			p.Caught, p.Seed, p.Check = true, seed, name(r.Failures[0])
			fmt.Println(seed, r.Failures[0])
		}
	}
	p.Seconds = time.Since(began).Seconds()
	line, _ := json.Marshal(p)
	fmt.Println(string(line))
}

// name makes a check's name of what it says.
func name(failure string) string {
	for _, n := range [][2]string{
		{"invariant ", ""}, {"panic", "panic"}, {"still open", "convergence"}, {"cannot have", "convergence"},
		{"busy, but", "busy"}, {"while", "exclusion"}, {" after ", "token order"}, {"went back", "deadline"},
	} {
		if _, after, found := strings.Cut(failure, n[0]); found {
			if n[1] == "" {
				return strings.Fields(after)[0]
			}
			return n[1]
		}
	}
	return failure
}
