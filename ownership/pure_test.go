package ownership

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The small pure parts, each against a dumb version of itself or its definition.

// TestQuorumsMeet: any seal quorum meets any write quorum, no smaller seal quorum
// would; any two write quorums and any two majorities meet.
func TestQuorumsMeet(t *testing.T) {
	subsets := func(n, size int) (sets []uint) {
		for set := range uint(1) << n {
			bits := 0
			for s := set; s != 0; s &= s - 1 {
				bits++
			}
			if bits == size {
				sets = append(sets, set)
			}
		}
		return sets
	}
	meet := func(n, x, y int) bool {
		for _, p := range subsets(n, x) {
			for _, q := range subsets(n, y) {
				if p&q == 0 {
					return false
				}
			}
		}
		return true
	}
	for n := 1; n <= MaxReplicas; n++ {
		w, s := writeQuorum(n), sealQuorum(n)
		check(t, meet(n, w, w) && meet(n, w, s), "n %d: W %d, S %d do not meet", n, w, s)
		check(t, !meet(n, w, s-1), "n %d: S %d is more than it takes", n, s)
		check(t, meet(n, majority(n), majority(n)), "n %d: majorities do not meet", n)
	}
	for _, tc := range [][3]int{{1, 1, 1}, {2, 2, 1}, {3, 2, 2}, {4, 3, 2}, {5, 3, 3}} {
		check(t, writeQuorum(tc[0]) == tc[1] && sealQuorum(tc[0]) == tc[2], "n %d: W %d, S %d", tc[0], writeQuorum(tc[0]), sealQuorum(tc[0]))
	}
}

// TestSeats: an odd number up to 7, and never less tolerant for being larger.
func TestSeats(t *testing.T) {
	tolerates := func(voters int) int { return voters - majority(voters) }
	for n := 1; n < 40; n++ {
		s := seats(n)
		check(t, s%2 == 1 && s <= n && s <= MaxVoters, "%d members have %d voters", n, s)
		check(t, tolerates(s) >= tolerates(seats(max(1, n-1))), "%d members tolerate less than one fewer", n)
		check(t, s == MaxVoters || s+2 > n, "%d members have only %d voters", n, s)
	}
}

func TestKthHighest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := rapid.SliceOfN(rapid.IntRange(-3, 9), 1, 9).Draw(t, "vs")
		k := rapid.IntRange(1, len(vs)).Draw(t, "k")
		got := kthHighest(slices.Clone(vs), k)
		above, atLeast := 0, 0
		for _, v := range vs {
			if v > got {
				above++
			}
			if v >= got {
				atLeast++
			}
		}
		if above >= k || atLeast < k {
			t.Fatalf("of %v the %d. highest is not %d", vs, k, got)
		}
	})
}

func TestIDSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) NodeID { return NodeID(rapid.IntRange(1, 6).Draw(t, "id")) }), rapid.ID[NodeID])
		x, y := list.Draw(t, "x"), list.Draw(t, "y")
		both, union := 0, slices.Clone(x)
		in := map[NodeID]bool{}
		for _, id := range x {
			in[id] = true
		}
		for _, id := range y {
			union = addID(union, id)
			if in[id] {
				both++
			}
		}
		if count(x, y) != both || len(union) != len(x)+len(y)-both {
			t.Fatalf("%v and %v: %d in both, union %v", x, y, count(x, y), union)
		}
	})
}

// TestMargins: D·(1−d) and D·(1+d), exactly, each rounded to the side that harms
// nobody by less than a nanosecond's worth of parts.
func TestMargins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Params{DriftPPM: rapid.IntRange(0, 200_000).Draw(t, "ppm")}
		d := time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(t, "d"))
		exact := new(big.Rat).Mul(big.NewRat(int64(d), 1), big.NewRat(int64(p.DriftPPM), 1_000_000))
		margin := new(big.Rat).SetInt64(int64(p.drift(d)))
		over := new(big.Rat).Sub(margin, exact)
		if over.Sign() < 0 || over.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Fatalf("the drift of %v at %d ppm is %v, not %v", d, p.DriftPPM, p.drift(d), exact)
		}
		if p.held(d) != d-p.drift(d) || p.given(d) != d+p.drift(d) {
			t.Fatalf("%v: held %v, given %v", d, p.held(d), p.given(d))
		}
	})
}

// TestMarginsInTrueTime: whoever has a right stops believing before the one who
// gave it stops honouring it, for any two clocks whose rates are within the bound.
func TestMarginsInTrueTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Params{DriftPPM: rapid.IntRange(1, 200_000).Draw(t, "ppm")}
		d := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(24*time.Hour)).Draw(t, "d"))
		rate := func(name string) float64 {
			return 1 + float64(rapid.IntRange(-p.DriftPPM, p.DriftPPM).Draw(t, name))/1e6
		}
		hasEnds := float64(p.held(d)) / rate("who has it")
		gaveEnds := float64(p.given(d)) / rate("who gave it")
		if hasEnds > gaveEnds {
			t.Fatalf("over after %f and %f ns", hasEnds, gaveEnds)
		}
	})
}

// TestTicketOrder: by term, then number; no ticket comes last.
func TestTicketOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Ticket {
			return Ticket{Term(rapid.IntRange(0, 3).Draw(t, name+" term")), uint32(rapid.IntRange(0, 3).Draw(t, name+" number"))}
		}
		x, y, z := draw("x"), draw("y"), draw("z")
		rank := func(k Ticket) uint64 { // a number that orders them
			if k.isZero() {
				return 1<<64 - 1
			}
			return uint64(k.Term)<<32 | uint64(k.Number)
		}
		if x.before(y) != (rank(x) < rank(y)) {
			t.Fatalf("%v before %v: %v", x, y, x.before(y))
		}
		if x.before(y) && y.before(x) || x.before(y) && y.before(z) && !x.before(z) {
			t.Fatalf("no order of %v %v %v", x, y, z)
		}
	})
}

func TestBallotsAndPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int { return rapid.IntRange(0, 3).Draw(t, name) }
		x, y := Ballot{uint32(n("round x")), NodeID(n("node x"))}, Ballot{uint32(n("round y")), NodeID(n("node y"))}
		if x.less(y) != (cmp.Or(cmp.Compare(x.Round, y.Round), cmp.Compare(x.Node, y.Node)) < 0) {
			t.Fatalf("%v less than %v: %v", x, y, x.less(y))
		}
		t1, n1, t2, n2 := Term(n("t1")), uint64(n("n1")), Term(n("t2")), uint64(n("n2"))
		if newer(t1, n1, t2, n2) != (cmp.Or(cmp.Compare(t1, t2), cmp.Compare(n1, n2)) > 0) {
			t.Fatalf("(%d, %d) newer than (%d, %d)", t1, n1, t2, n2)
		}
	})
}

// TestQueueOrder: enqueue keeps the line sorted by ticket, arrivals of one ticket
// in their order, and gives those without one the next.
func TestQueueOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &owner{term: 9}
		o.table.init()
		k := o.table.key("k")
		var dumb []*request
		for range rapid.IntRange(0, 12).Draw(t, "waiters") {
			r := &request{}
			if rapid.Bool().Draw(t, "has one") {
				r.ticket = Ticket{Term(rapid.IntRange(6, 8).Draw(t, "term")), uint32(rapid.IntRange(1, 3).Draw(t, "number"))}
			}
			o.enqueue(k, r)
			dumb = append(dumb, r)
		}
		slices.SortStableFunc(dumb, func(x, y *request) int {
			return cmp.Or(cmp.Compare(x.ticket.Term, y.ticket.Term), cmp.Compare(x.ticket.Number, y.ticket.Number))
		})
		if !slices.Equal(k.queue, dumb) {
			t.Fatal("the queue is not in the order of tickets")
		}
	})
}

// TestChunks: a state survives being cut, and put together in any order, with
// chunks that come twice; no chunk is much larger than chunkBytes.
func TestChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := map[string]*Record{}
		for i := range rapid.IntRange(0, 900).Draw(t, "keys") {
			key := fmt.Sprint(i) + strings.Repeat("k", rapid.IntRange(0, MaxKeyBytes-4).Draw(t, "bytes"))
			state[key] = held(key, e, Token(i))
		}
		chunks := chunked(state, chunkBytes)
		if len(chunks) == 0 {
			t.Fatal("no chunk: the receiver would wait for ever")
		}
		for _, records := range chunks {
			size := 0
			for _, r := range records {
				size += len(r.Key)
			}
			if size > chunkBytes {
				t.Fatalf("a chunk of %d bytes", size)
			}
		}
		in := newIncoming(3, 7, len(chunks))
		order := rapid.Permutation(indexes(len(chunks))).Draw(t, "order")
		for i, c := range order {
			if twice := rapid.IntRange(0, i).Draw(t, "again"); twice < i && in.add(order[twice], nil) {
				t.Fatal("whole before the last one came")
			}
			if in.add(-1, nil) || in.add(len(chunks), nil) {
				t.Fatal("took a chunk that is none")
			}
			if whole := in.add(c, chunks[c]); whole != (i == len(order)-1) {
				t.Fatalf("chunk %d of %d: whole is %v", i, len(order), whole)
			}
		}
		back := in.records()
		if len(back) != len(state) {
			t.Fatalf("%d of %d keys", len(back), len(state))
		}
		for key, r := range state {
			if back[key] != r {
				t.Fatalf("key %q is lost", key)
			}
		}
	})
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// TestDigest: of sets of grants that differ the digests do, here at least, though
// tokens and keys differ in few bits; and the order of adding does not matter.
func TestDigest(t *testing.T) {
	seen := map[uint64]string{}
	for i := range 64 {
		for j := range 64 {
			for _, key := range []string{"a", "b"} {
				x := digest(key, uint64(i)) ^ digest("c", uint64(j))
				name := fmt.Sprint(key, i, j)
				check(t, seen[x] == "", "%s and %s have one digest", name, seen[x])
				seen[x] = name
			}
		}
	}
}
