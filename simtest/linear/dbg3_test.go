package linear
import ("testing";"math/rand/v2";"os";"strconv";"fmt";"time";"slices")
func TestDbg3(t *testing.T) {
	n, _ := strconv.ParseUint(os.Getenv("N"), 10, 64)
	from, _ := strconv.ParseUint(os.Getenv("FROM"), 10, 64)
	var all []time.Duration
	total := time.Duration(0)
	for seed := from; seed < from+n; seed++ {
		sh := richShapeOf(rand.New(rand.NewPCG(seed, 1)))
		h := generate(seed, sh).History
		b := time.Now()
		v, why := Check(h, 10*time.Second)
		d := time.Since(b)
		if v != Ok { fmt.Println(seed, v, why) }
		if d > 100*time.Millisecond { m, _ := newModel(h); fmt.Println(seed, d, len(h.Ops), len(m.steps), sh) }
		all = append(all, d); total += d
	}
	slices.Sort(all)
	fmt.Println("total", total, "median", all[n/2], "99%", all[n*99/100], "99.9%", all[n*999/1000], "max", all[n-1])
}
