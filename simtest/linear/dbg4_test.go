package linear
import ("testing";"math/rand/v2";"fmt";"os";"github.com/anishathalye/porcupine")
func TestDbg4(t *testing.T) {
	for _, modes := range [][]Mode{readers, semaphore} {
	for seed := range uint64(4000) {
		h := small(rand.New(rand.NewPCG(seed, 2)), os.Getenv("SILENT") != "", modes)
		v, _ := Check(h, 0)
		if v != Ok { continue }
		if naive(h) == porcupine.Illegal {
			fmt.Println("-----", seed, h.Lost)
			for _, o := range h.Ops { fmt.Println(o, "exp", o.MayExpire, "late", o.Late, "delay", o.Delay) }
		}
	} }
}
