package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/mesh"
)

// A view is what a worker tells the fleet about the mesh: for each member how many partitions it owns.
type view struct {
	Epoch uint32
	Owns  map[string]int
}

// reportViews prints each new view to the standard output, which the fleet reads.
func reportViews(node *mesh.Node) {
	for last := uint32(0); ; time.Sleep(100 * time.Millisecond) {
		v := node.View()
		if v.Epoch == last {
			continue
		}
		last = v.Epoch
		report := view{Epoch: v.Epoch, Owns: map[string]int{}}
		for _, m := range v.Members {
			report.Owns[m.Name] = 0
		}
		for _, p := range v.Partitions {
			if owner, ok := v.Member(p.Owner); ok {
				report.Owns[owner.Name]++
			}
		}
		json.NewEncoder(os.Stdout).Encode(report)
	}
}

// has reports whether the worker's node is a member.
func (v view) has(worker string) bool {
	_, member := v.Owns[worker]
	return member
}

// String says who owns how much: w1 54, w2 54 …
func (v view) String() string {
	var total int
	var parts []string
	for name, n := range v.Owns {
		total += n
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return fmt.Sprintf("%d members own %d partitions: %s", len(v.Owns), total, strings.Join(parts, ", "))
}
