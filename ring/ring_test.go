package ring

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := fmt.Sprint(recover()); !strings.Contains(r, text) {
			t.Errorf("panic %q, want one with %q", r, text)
		}
	}()
	f()
}

// checkShape fails unless each group has min(Replicas, members) distinct members.
func checkShape(t rapid.TB, in Input, groups [][]NodeID) {
	t.Helper()
	if len(groups) != in.Partitions {
		t.Fatalf("%d groups for %d partitions", len(groups), in.Partitions)
	}
	for p, group := range groups {
		if group == nil || len(group) != min(in.Replicas, len(in.Members)) {
			t.Fatalf("partition %d: group %v of %d members, %d replicas", p, group, len(in.Members), in.Replicas)
		}
		for i, id := range group {
			if !slices.ContainsFunc(in.Members, func(m Member) bool { return m.ID == id }) {
				t.Fatalf("partition %d: %d is not a member", p, id)
			}
			if slices.Contains(group[:i], id) {
				t.Fatalf("partition %d: %d twice in %v", p, id, group)
			}
		}
	}
}

func TestAssignShapes(t *testing.T) {
	some := func(n int, zones ...string) []Member { return fleet(rand.New(rand.NewPCG(5, 5)), n, zones...) }
	for _, test := range []struct {
		name string
		in   Input
	}{
		{"nothing at all", Input{}},
		{"no members", Input{Partitions: 5, Replicas: 3}},
		{"no members any more", Input{Partitions: 1, Replicas: 3, Previous: [][]NodeID{{1, 2, 3}}, Apart: []Apart{{0, 1, 2}}}},
		{"no partitions", Input{Members: some(3), Replicas: 3}},
		{"no replicas", Input{Members: some(3), Partitions: 5}},
		{"one member", Input{Members: some(1), Partitions: 271, Replicas: 3}},
		{"two members", Input{Members: some(2), Partitions: 271, Replicas: 3}},
		{"one partition", Input{Members: some(5), Partitions: 1, Replicas: 3}},
		{"more members than partitions", Input{Members: some(40), Partitions: 7, Replicas: 3}},
		{"one zone for all", Input{Members: some(9, "a"), Partitions: 271, Replicas: 3}},
		{"fewer zones than replicas", Input{Members: some(9, "a", "b"), Partitions: 271, Replicas: 5}},
		{"a zone each", Input{Members: some(4, "a", "b", "c", "d"), Partitions: 271, Replicas: 3}},
		{"all replicas everywhere", Input{Members: some(7), Partitions: 271, Replicas: 100}},
		{"IDs 0 and the greatest", Input{Members: []Member{{ID: 0}, {ID: 1<<64 - 1}}, Partitions: 9, Replicas: 2}},
		{"Previous too short", Input{Members: some(3), Partitions: 9, Replicas: 2, Previous: make([][]NodeID, 3)}},
		{"Previous too long", Input{Members: some(3), Partitions: 9, Replicas: 2, Previous: make([][]NodeID, 30)}},
	} {
		t.Run(test.name, func(t *testing.T) { checkShape(t, test.in, Assign(test.in)) })
	}
}

func TestAssignPanics(t *testing.T) {
	mustPanic(t, "member 0000000000000007 comes twice", func() {
		Assign(Input{Members: []Member{{ID: 7}, {ID: 8}, {ID: 7, Zone: "other"}}, Partitions: 1, Replicas: 1})
	})
	mustPanic(t, "must not be negative", func() { Assign(Input{Partitions: -1}) })
	mustPanic(t, "must not be negative", func() { Assign(Input{Replicas: -1}) })
}

// drawInput draws any valid input: small IDs and large ones, zones or none, a previous table that
// Assign made of other members, or one reordered, or nonsense, or none; notes right and wrong.
func drawInput(t *rapid.T) Input {
	id := rapid.Custom(func(t *rapid.T) NodeID {
		n := rapid.Uint64Range(0, 14).Draw(t, "id")
		if rapid.Bool().Draw(t, "large") {
			n = mix(n)
		}
		return NodeID(n)
	})
	zones := rapid.SampledFrom([][]string{{""}, {"a", "b"}, {"", "a", "b", "c", "d"}}).Draw(t, "zones")
	member := rapid.Custom(func(t *rapid.T) Member {
		return Member{id.Draw(t, "id"), rapid.SampledFrom(zones).Draw(t, "zone")}
	})
	members := rapid.SliceOfNDistinct(member, 0, 12, func(m Member) NodeID { return m.ID })
	in := Input{
		Members:    members.Draw(t, "members"),
		Partitions: rapid.IntRange(0, 20).Draw(t, "partitions"),
		Replicas:   rapid.IntRange(0, 7).Draw(t, "replicas"),
	}
	switch rapid.SampledFrom([]string{"founding", "history", "reordered", "nonsense"}).Draw(t, "previous") {
	case "history":
		before := in
		before.Members = members.Draw(t, "members before")
		in.Previous = Assign(before)
	case "reordered":
		in.Previous = Assign(in)
		for p, group := range in.Previous {
			in.Previous[p] = rapid.Permutation(group).Draw(t, "group")
		}
	case "nonsense":
		any := id
		if len(in.Members) > 0 {
			any = rapid.OneOf(id, rapid.Map(rapid.SampledFrom(in.Members), func(m Member) NodeID { return m.ID }))
		}
		in.Previous = rapid.SliceOfN(rapid.SliceOfN(any, 0, 8), 0, 25).Draw(t, "nonsense")
	}
	if rapid.Bool().Draw(t, "notes") {
		in.Apart = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Apart {
			return Apart{rapid.IntRange(-1, max(in.Partitions, 1)).Draw(t, "partition"), id.Draw(t, "owner"), id.Draw(t, "silent")}
		}), 0, 30).Draw(t, "apart")
	}
	return in
}

func checkEqual(t rapid.TB, what string, got, want [][]NodeID) {
	t.Helper()
	for p := range want {
		if !slices.Equal(got[p], want[p]) {
			t.Fatalf("%s: partition %d: %v, want %v", what, p, got[p], want[p])
		}
	}
}

func TestAssignProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		groups := Assign(in)
		checkShape(t, in, groups)

		shuffled := in
		shuffled.Members = rapid.Permutation(in.Members).Draw(t, "members in another order")
		notes := rapid.Permutation(in.Apart).Draw(t, "notes in another order")
		shuffled.Apart = append(notes, notes[:len(notes)/2]...)
		checkEqual(t, "other order of members, notes repeated", Assign(shuffled), groups)

		again := in
		again.Previous = groups
		checkEqual(t, "again", Assign(again), groups)
	})
}

// TestAssignLeavesInputAlone: neither the call nor a write to its result changes the input.
// TestOwnersChangeNothing: with the owners of earlier, of whatever members, Assign says the same.
func TestOwnersChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, other := drawInput(t), drawInput(t)
		if rapid.Bool().Draw(t, "same members") {
			other.Members = slices.Clone(in.Members)
			slices.Reverse(other.Members)
		}
		groups := Assign(in)
		in.Owners = OwnersOf(other)
		checkEqual(t, "with the owners of another input", Assign(in), groups)
		own := OwnersOf(in)
		if in.Owners = own; OwnersOf(in) != own {
			t.Fatal("the owners of the same members were made again")
		}
		checkEqual(t, "with its own owners", Assign(in), groups)
	})
}

func TestAssignLeavesInputAlone(t *testing.T) {
	fresh := func() Input {
		return Input{
			Members:    []Member{{ID: 3}, {ID: 1}, {ID: 2}},
			Partitions: 2,
			Replicas:   2,
			Previous:   [][]NodeID{{3, 1}, {2, 3}},
			Apart:      []Apart{{1, 2, 3}, {0, 2, 1}},
		}
	}
	in := fresh()
	Assign(in)
	checkEqual(t, "Previous", in.Previous, fresh().Previous)
	if !slices.Equal(in.Members, fresh().Members) || !slices.Equal(in.Apart, fresh().Apart) {
		t.Errorf("sorted in place: %v, %v", in.Members, in.Apart)
	}

	// A group that stays as it was is a copy.
	in = Input{Members: in.Members, Partitions: 9, Replicas: 2}
	want := Assign(in)
	in.Previous = Assign(in)
	for _, group := range Assign(in) {
		clear(group)
	}
	checkEqual(t, "Previous", in.Previous, want)
}

// TestGroupIsByTheRules compares with rule 2 of the package written out: at each step, sort.
func TestGroupIsByTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Apart = nil
		groups := Assign(in)
		if len(in.Members) == 0 || in.Replicas == 0 {
			return
		}
		left := slices.Clone(in.Members)
		slices.SortFunc(left, func(x, y Member) int { return cmp.Compare(x.ID, y.ID) })
		ids := make([]NodeID, len(left))
		for i := range left {
			ids[i] = left[i].ID
		}
		for p, owner := range owners(ids, max(in.Partitions, 1)) {
			if p >= in.Partitions {
				break
			}
			var previous []NodeID
			if p < len(in.Previous) {
				previous = in.Previous[p]
			}
			place := func(m Member) int { // of those that do not hold it: last
				if at := slices.Index(previous, m.ID); at >= 0 {
					return at
				}
				return len(previous)
			}
			weight := func(m Member) uint64 { return mix(mix(uint64(p)+1) ^ uint64(m.ID)) }
			used := map[string]int{left[owner].Zone: 1}
			want, rest := []NodeID{ids[owner]}, without(left, owner)
			for len(want) < min(in.Replicas, len(left)) {
				slices.SortFunc(rest, func(x, y Member) int {
					return cmp.Or(
						cmp.Compare(used[x.Zone], used[y.Zone]),
						cmp.Compare(place(x), place(y)),
						cmp.Compare(weight(y), weight(x)),
					)
				})
				want = append(want, rest[0].ID)
				used[rest[0].Zone]++
				rest = rest[1:]
			}
			// The same group in the order it had is left in that order.
			if len(previous) == len(want) && previous[0] == want[0] {
				x, y := slices.Sorted(slices.Values(previous)), slices.Sorted(slices.Values(want))
				if slices.Equal(x, y) {
					want = previous
				}
			}
			if !slices.Equal(groups[p], want) {
				t.Fatalf("partition %d: %v, want %v", p, groups[p], want)
			}
		}
	})
}

// TestZones: three zones and three replicas put one replica in each, wherever the partition was.
func TestZones(t *testing.T) {
	members := fleet(rand.New(rand.NewPCG(6, 6)), 9, "a", "b", "c")
	zone := make(map[NodeID]string)
	for _, m := range members {
		zone[m.ID] = m.Zone
	}
	noZones := slices.Clone(members)
	for i := range noZones {
		noZones[i].Zone = ""
	}
	for _, previous := range [][][]NodeID{nil, staying(noZones, nil)} {
		for p, group := range staying(members, previous) {
			zones := []string{zone[group[0]], zone[group[1]], zone[group[2]]}
			if slices.Sort(zones); !slices.Equal(zones, []string{"a", "b", "c"}) {
				t.Errorf("partition %d: zones %v", p, zones)
			}
		}
	}
}

// TestUnchangedOwnerKeepsGroup: in one zone, a group whose members all stay changes only if its owner
// does, and then keeps the former owner.
func TestUnchangedOwnerKeepsGroup(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	members := fleet(rng, 10)
	before := staying(members, nil)
	kept, moved := 0, 0
	for p, group := range staying(append(members, fleet(rng, 3)...), before) {
		if group[0] == before[p][0] {
			kept++
			if !slices.Equal(group, before[p]) {
				t.Errorf("partition %d: %v became %v", p, before[p], group)
			}
			continue
		}
		moved++
		if group[1] != before[p][0] {
			t.Errorf("partition %d: %v became %v", p, before[p], group)
		}
	}
	if kept == 0 || moved == 0 {
		t.Errorf("%d groups kept their owner, %d did not: shows nothing", kept, moved)
	}
}

// TestFollowersKeepTheirOrder: choosing zones first would name the node of the other zone before
// that of the owner's, but a list in which only followers change places stays as it was.
func TestFollowersKeepTheirOrder(t *testing.T) {
	in := Input{
		Members:    []Member{{1, "a"}, {2, "a"}, {3, "b"}},
		Partitions: 30,
		Replicas:   3,
	}
	in.Previous = Assign(in)
	reordered := 0
	for _, group := range in.Previous {
		if group[0] != 3 && group[1] == 3 {
			group[1], group[2] = group[2], group[1]
			reordered++
		}
	}
	if reordered == 0 {
		t.Fatal("no group had the other zone's node second: shows nothing")
	}
	checkEqual(t, "reordered", Assign(in), in.Previous)
}

// TestRepeatedHolder: where a previous list names a node twice, the first place counts.
func TestRepeatedHolder(t *testing.T) {
	in := Input{Members: []Member{{ID: 1}, {ID: 2}, {ID: 3}, {ID: 4}}, Partitions: 1, Replicas: 3}
	owner := Assign(in)[0][0]
	var others []NodeID
	for _, m := range in.Members {
		if m.ID != owner {
			others = append(others, m.ID)
		}
	}
	for i, x := range others {
		y := others[(i+1)%len(others)]
		in.Previous = [][]NodeID{{x, y, x, owner}}
		if got, want := Assign(in)[0], []NodeID{owner, x, y}; !slices.Equal(got, want) {
			t.Errorf("from %v: %v, want %v", in.Previous[0], got, want)
		}
	}
}
