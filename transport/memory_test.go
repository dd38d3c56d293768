package transport

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// mesh starts n nodes, with IDs from 1 and addresses from "1", that all know
// each other.
func memoryMesh(t *testing.T, m *Memory, n int) []*testNode {
	nodes := []*testNode{nil}
	for id := 1; id <= n; id++ {
		addr := string(rune('0' + id))
		nodes = append(nodes, start(t, m.Node(addr), addr, node(ownership.NodeID(id))))
	}
	for _, a := range nodes[1:] {
		for id, b := range nodes[1:] {
			a.Learn(ownership.NodeID(id+1), b.addr)
		}
	}
	return nodes
}

// heard returns the numbers that arrived once nothing more happens.
func (n *testNode) heard() (numbers []int) {
	synctest.Wait()
	for len(n.got) > 0 {
		numbers = append(numbers, number(<-n.got))
	}
	return numbers
}

func TestMemoryCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		n := memoryMesh(t, m, 3)
		expect := func(what string, want ...[2]ownership.NodeID) {
			t.Helper()
			for a := ownership.NodeID(1); a <= 3; a++ {
				for b := ownership.NodeID(1); b <= 3; b++ {
					if a != b {
						n[a].say(b, int(a))
					}
				}
			}
			got := map[[2]ownership.NodeID]bool{}
			for b := ownership.NodeID(1); b <= 3; b++ {
				for _, a := range n[b].heard() {
					got[[2]ownership.NodeID{ownership.NodeID(a), b}] = true
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s: got %v", what, got)
			}
			for _, w := range want {
				if !got[w] {
					t.Errorf("%s: %v is missing", what, w)
				}
			}
		}
		type p = [2]ownership.NodeID
		all := []p{{1, 2}, {1, 3}, {2, 1}, {2, 3}, {3, 1}, {3, 2}}
		expect("whole", all...)
		m.CutOneWay("1", "2")
		expect("one way", p{1, 3}, p{2, 1}, p{2, 3}, p{3, 1}, p{3, 2})
		m.Cut("1", "2")
		expect("both ways", p{1, 3}, p{2, 3}, p{3, 1}, p{3, 2})
		m.Isolate("3")
		expect("isolated")
		m.Heal("1", "2")
		expect("healed", p{1, 2}, p{2, 1})
		m.HealAll()
		expect("all healed", all...)

		// What is under way is lost too, and nobody is told.
		m.SetDelay(func(string, string) time.Duration { return time.Second })
		n[1].say(2, 9)
		m.Cut("1", "2")
		<-time.After(2 * time.Second)
		m.Heal("1", "2")
		if got := n[2].heard(); len(got) != 0 {
			t.Errorf("got %v", got)
		}
		for len(n[1].hints) > 0 {
			if h := <-n[1].hints; h.Kind != HintUp {
				t.Errorf("hint %+v", h)
			}
		}
	})
}

func TestMemoryDelayKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		n := memoryMesh(t, m, 3)
		delay := time.Second
		m.SetDelay(func(from, to string) time.Duration { return delay })
		begin := time.Now()
		n[1].say(2, 1)
		delay = 0
		n[1].say(2, 2)
		n[3].say(2, 3)
		if got := number(<-n[2].got); got != 3 || time.Since(begin) != 0 {
			t.Errorf("got %d after %v", got, time.Since(begin))
		}
		for want := 1; want <= 2; want++ {
			if got := number(<-n[2].got); got != want || time.Since(begin) != time.Second {
				t.Errorf("got %d after %v", got, time.Since(begin))
			}
		}
	})
}

func TestMemoryLossAndTap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := 0.0
		m := NewMemory(WithRand(func() float64 { next += 0.1; return next - float64(int(next)) }))
		n := memoryMesh(t, m, 2)
		m.SetLoss(0.3)
		for i := range 100 {
			n[1].say(2, i)
		}
		if got := len(n[2].heard()); got < 60 || got > 80 {
			t.Errorf("%d of 100 arrived", got)
		}
		m.SetLoss(0)
		var seen []Flight
		m.Tap(func(f Flight) bool {
			seen = append(seen, f)
			if len(seen) == 2 {
				m.Cut("1", "2") // a tap may do that
			}
			return len(seen) > 1
		})
		n[1].say(2, 101) // eaten
		n[1].say(2, 102) // cut
		n[1].say(2, 103) // cut before the tap
		synctest.Wait()
		m.HealAll()
		n[1].say(2, 104)
		if got := n[2].heard(); len(got) != 1 || got[0] != 104 {
			t.Errorf("got %v", got)
		}
		if len(seen) != 3 || seen[0].From != 1 || seen[0].ToAddr != "2" || seen[0].Mesh != 5 {
			t.Errorf("tapped %+v", seen)
		}
	})
}

func TestMemoryRoster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		n := memoryMesh(t, m, 3)
		end := func(i int) *Endpoint { return n[i].Transport.(*Endpoint) }
		end(2).Announce([]byte("two"))
		var last []Presence
		end(1).Watch(func(list []Presence) { last = list })
		expect := func(what string, want string) {
			t.Helper()
			synctest.Wait()
			got := ""
			for _, p := range last {
				got += string(rune('0'+p.ID)) + "@" + p.Addr + string(p.Payload)
				if p.Dead {
					got += "†"
				}
				got += " "
			}
			if got != want {
				t.Errorf("%s: got %q, not %q", what, got, want)
			}
		}
		expect("at first", "2@2two 3@3 ")
		end(3).Announce([]byte("three"))
		expect("announced", "2@2two 3@3three ")
		m.CutOneWay("2", "1")
		expect("cut", "2@2two† 3@3three ")
		m.Heal("1", "2")
		expect("healed", "2@2two 3@3three ")
		m.Crash("2")
		expect("crashed", "2@2two† 3@3three ")
		again := start(t, m.Node("2"), "2", node(4))
		expect("again", "2@2two† 3@3three 4@2 ")
		again.Rename(node(5))
		expect("renamed", "2@2two† 3@3three 4@2† 5@2 ")
		start(t, m.Node("6"), "6", Identity{ID: 6, Cluster: "other"})
		expect("other cluster", "2@2two† 3@3three 4@2† 5@2 ")
		if list := m.Members(); len(list) != 4 || list[1].ID != 5 {
			t.Errorf("members %+v", list)
		}
		if err := m.Node("1").Start(node(7), nil, nil); err == nil {
			t.Error("two nodes at one address")
		}
	})
}

func TestMemoryCodecFindsFaults(t *testing.T) {
	var faults []error
	m := NewMemory(WithCodec(func(err error) { faults = append(faults, err) }))
	n := memoryMesh(t, m, 2)
	n[1].Send(ownership.Envelope{To: 2, Message: ownership.Acquire{}})
	n[1].say(2, 1)
	if got := number(<-n[2].got); got != 1 || len(faults) != 1 {
		t.Errorf("got %d, faults %v", got, faults)
	}
}
