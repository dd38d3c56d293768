package linear

import (
	"fmt"
	"github.com/anishathalye/porcupine"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

func TestDbg2(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	sh := richShapeOf(rand.New(rand.NewPCG(seed, 1)))
	h := generate(seed, sh).History
	m, _ := newModel(h)
	ops := m.operations()
	_, info := porcupine.CheckOperationsVerbose(m.porcupine(), ops, 5e9)
	best := time.Duration(-1)
	for _, order := range info.PartialLinearizations()[0] {
		placed := map[int]bool{}
		for _, i := range order {
			placed[i] = true
		}
		stuck := -1
		for i := range m.steps {
			if !placed[i] && (stuck < 0 || m.steps[i].to < m.steps[stuck].to) {
				stuck = i
			}
		}
		if stuck < 0 {
			fmt.Println("OK")
			return
		}
		if m.steps[stuck].to < best {
			continue
		}
		best = m.steps[stuck].to
		fmt.Println("-----", len(order), m.steps[stuck].describe())
		s := *m.init()
		for _, i := range order {
			s, _ = m.next(s, &m.steps[i])
			if len(order)-8 < 0 || i >= 0 {
				fmt.Println("   ", m.steps[i].describe(), "=>", m.describe(&s), s.now)
			}
		}
		_, why := m.next(s, &m.steps[stuck])
		fmt.Println(m.say(&s, why))
	}
}
