package linear

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

func TestDbg(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	sh := richShapeOf(rand.New(rand.NewPCG(seed, 1)))
	h := generate(seed, sh).History
	slices.SortStableFunc(h.Ops, func(a, b Op) int { return cmp.Compare(a.Invoked, b.Invoked) })
	for _, o := range h.Ops {
		fmt.Println(o, "exp", o.MayExpire, "delay", o.Delay)
	}
	fmt.Println(h.Lost)
	_, why := Check(h, 5e9)
	fmt.Println(why)
}
