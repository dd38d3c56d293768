package ring

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestApart(t *testing.T) {
	const a, b, c, d, e = NodeID(1), NodeID(2), NodeID(3), NodeID(4), NodeID(5)
	of := func(ids ...NodeID) (members []Member) {
		for _, id := range ids {
			members = append(members, Member{ID: id})
		}
		return members
	}
	// In every row hashing names a as the owner; the test makes sure of it.
	for _, test := range []struct {
		claim    string
		members  []Member
		previous []NodeID
		notes    []Apart
		want     []NodeID // of partition 0, of three replicas
	}{
		{"without a note hashing decides", of(a, b, c, d), []NodeID{a, b, c}, nil, []NodeID{a, b, c}},
		{
			"the holder without a note stands in; of the two, the former owner stays",
			of(a, b, c, d), []NodeID{a, b, c}, []Apart{{0, a, b}},
			[]NodeID{c, a, d},
		},
		{
			"a stand-in stays while the note does",
			of(a, b, c, d, e), []NodeID{d, a, c}, []Apart{{0, a, b}},
			[]NodeID{d, a, c},
		},
		{"who goes silent again and again is out", of(a, b, c, d), []NodeID{c, b, d}, []Apart{{0, a, b}, {0, c, b}}, []NodeID{d, c, a}},
		{"of three members all are needed: only the owner changes", of(a, b, c), []NodeID{a, b, c}, []Apart{{0, a, b}}, []NodeID{c, a, b}},
		{"of two members the other is the owner", of(a, b), []NodeID{a, b}, []Apart{{0, a, b}}, []NodeID{b, a}},
		{"if all are barred hashing decides", of(a, b), []NodeID{a, b}, []Apart{{0, a, b}, {0, b, a}}, []NodeID{a, b}},
		{
			"a note on others leaves the owner to hashing",
			of(a, b, c, d), []NodeID{c, a, b}, []Apart{{0, b, a}},
			[]NodeID{a, c, d},
		},
		{
			"hashing gives way if no group with its owner is without a pair",
			of(a, b, c, d), []NodeID{a, b, c}, []Apart{{0, b, a}, {0, c, a}},
			[]NodeID{d, b, c},
		},
		{
			"also if the pair would be among those left to choose from",
			of(a, b, c, d, e), []NodeID{a, b, c}, []Apart{{0, d, a}, {0, e, a}, {0, b, c}},
			[]NodeID{c, e, d}, // e is the heavier
		},
		{
			"a barred node does not own even if that costs pairs",
			of(a, b, c, d), []NodeID{a, b, c}, []Apart{{0, a, d}, {0, b, d}, {0, c, d}},
			[]NodeID{d, a, b},
		},
		{
			"then those of the fewest pairs come in",
			of(a, b, c, d), []NodeID{a, b, c}, []Apart{{0, a, d}, {0, b, d}, {0, c, d}, {0, a, b}},
			[]NodeID{d, a, c},
		},
		{"a note said twice is one", of(a, b, c), []NodeID{a, b, c}, []Apart{{0, a, b}, {0, a, c}, {0, a, b}}, []NodeID{b, c, a}},
		{"one member owns all", of(a), []NodeID{a}, []Apart{{0, a, b}}, []NodeID{a}},
		{"a note of another partition does not matter", of(a, b, c, d), []NodeID{a, b, c}, []Apart{{1, a, b}, {-1, a, b}, {99, a, b}}, []NodeID{a, b, c}},
		{"nor does one of a node that left", of(a, b, c, d), []NodeID{a, b, c}, []Apart{{0, 77, b}}, []NodeID{a, b, c}},
		{"the silent one left: its accuser still does not own", of(a, c, d), []NodeID{a, b, c}, []Apart{{0, a, b}}, []NodeID{c, a, d}},
		{"a note of a node on itself bars it", of(a, b, c, d), []NodeID{a, b, c}, []Apart{{0, a, a}}, []NodeID{b, a, c}},
		{
			"zones give way to notes: b is alone in its zone",
			[]Member{{a, "x"}, {b, "y"}, {c, "x"}, {d, "x"}}, []NodeID{a, b, c}, []Apart{{0, a, b}, {0, c, b}},
			[]NodeID{d, a, c},
		},
	} {
		t.Run(test.claim, func(t *testing.T) {
			plain := Assign(Input{Members: test.members, Partitions: 2, Replicas: 1})
			if plain[0][0] != a {
				t.Fatalf("hashing names %v: the row shows nothing", plain[0])
			}
			groups := Assign(Input{
				Members: test.members, Partitions: 2, Replicas: 3,
				Previous: [][]NodeID{test.previous}, Apart: test.notes,
			})
			if !slices.Equal(groups[0], test.want) {
				t.Errorf("got %v, want %v", groups[0], test.want)
			}
		})
	}
}

// TestApartHolds compares with a search through all groups there could be.
func TestApartHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		// Enough members and notes to matter, few enough to try all groups.
		in.Members = in.Members[:min(len(in.Members), 8)]
		in.Partitions = 2
		in.Apart = nil
		if len(in.Members) == 0 || in.Replicas == 0 {
			return
		}
		member := rapid.Custom(func(t *rapid.T) NodeID { return rapid.SampledFrom(in.Members).Draw(t, "member").ID })
		for range rapid.IntRange(1, 12).Draw(t, "notes") {
			in.Apart = append(in.Apart, Apart{0, member.Draw(t, "owner"), member.Draw(t, "silent")})
		}

		groups := Assign(in)
		checkShape(t, in, groups)
		again := in
		again.Previous = groups
		checkEqual(t, "again", Assign(again), groups)

		barred := func(id NodeID) bool {
			return slices.ContainsFunc(in.Apart, func(n Apart) bool { return n.Owner == id })
		}
		paired := func(group []NodeID) bool {
			return slices.ContainsFunc(in.Apart, func(n Apart) bool {
				return n.Owner != n.Silent && slices.Contains(group, n.Owner) && slices.Contains(group, n.Silent)
			})
		}
		allBarred := !slices.ContainsFunc(in.Members, func(m Member) bool { return !barred(m.ID) })
		if barred(groups[0][0]) && !allBarred {
			t.Fatalf("owner of %v is barred", groups[0])
		}
		for set := range 1 << len(in.Members) {
			var group []NodeID
			canOwn := allBarred
			for i, m := range in.Members {
				if set>>i&1 == 1 {
					group = append(group, m.ID)
					canOwn = canOwn || !barred(m.ID)
				}
			}
			if len(group) == len(groups[0]) && canOwn && !paired(group) && paired(groups[0]) {
				t.Fatalf("%v has a pair, %v would not", groups[0], group)
			}
		}
	})
}

// BenchmarkAssignApart is the worst case meant: notes in every partition of a mesh in trouble.
func BenchmarkAssignApart(b *testing.B) {
	in := Input{
		Members:    fleet(rand.New(rand.NewPCG(8, 8)), 50, "a", "b", "c"),
		Partitions: partitions,
		Replicas:   replicas,
	}
	in.Previous = Assign(in)
	for p, group := range in.Previous {
		in.Apart = append(in.Apart, Apart{p, group[0], group[1]}, Apart{p, group[0], group[2]}, Apart{p, group[1], group[2]})
	}
	for b.Loop() {
		Assign(in)
	}
}
