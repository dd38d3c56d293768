// Command mutants plants faults in the protocol and plays the simulator on each
// until it finds it. It fails if one is not found. Run it in the module:
//
//	go run ./simtest/cmd/mutants                 # all: about an hour at worst
//	go run ./simtest/cmd/mutants -only '^K[1-5]' -starts 1 -for 10s
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/lockmesh/lockmesh/simtest/mutants"
)

func main() {
	var opt mutants.Options
	flag.StringVar(&opt.Only, "only", "", "play the faults whose `rule: name` matches this regular expression")
	flag.IntVar(&opt.Starts, "starts", 3, "from how many first seeds")
	flag.DurationVar(&opt.For, "for", 30*time.Second, "how long at most from each")
	flag.Uint64Var(&opt.Seeds, "seeds", 0, "how many seeds at most from each; 0 is no bound")
	flag.IntVar(&opt.Parallel, "parallel", 2, "how many at a time")
	flag.StringVar(&opt.Markdown, "table", "", "write the table to this `file`")
	flag.StringVar(&opt.Sim, "sim", "./simtest/cmd/sim", "the simulator's `package`")
	flag.Parse()
	if err := mutants.Main(os.Stdout, opt); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
