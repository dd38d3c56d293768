package ring_test

import (
	"fmt"

	"github.com/lockmesh/lockmesh/ring"
)

// A node dies: the groups it was in get a new node, the others stay as they are.
func ExampleAssign() {
	in := ring.Input{
		Members: []ring.Member{
			{ID: 11, Zone: "east"}, {ID: 12, Zone: "east"},
			{ID: 21, Zone: "west"}, {ID: 22, Zone: "west"},
		},
		Partitions: 5,
		Replicas:   2,
	}
	founding := ring.Assign(in)

	in.Members = in.Members[1:] // without 11
	in.Previous = founding
	after := ring.Assign(in)

	for p := range founding {
		fmt.Println(p, founding[p], after[p])
	}
	// Output:
	// 0 [11 21] [21 12]
	// 1 [21 12] [21 12]
	// 2 [12 21] [12 21]
	// 3 [22 12] [22 12]
	// 4 [21 11] [21 12]
}

// A key's partition never changes; who holds the partition is looked up in the groups of a view.
func ExamplePartition() {
	groups := ring.Assign(ring.Input{
		Members:    []ring.Member{{ID: 1}, {ID: 2}, {ID: 3}},
		Partitions: 271,
		Replicas:   2,
	})
	p := ring.Partition("order/1", len(groups))
	fmt.Println("partition", p, "owner", groups[p][0], "group", groups[p])
	// Output:
	// partition 243 owner 1 group [1 3]
}
