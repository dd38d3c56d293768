// Package mutants says why the simulator can be trusted: it finds planted faults.
//
// Each [Mutation] breaks one condition of the specification (ownership/doc.go) in
// the production core. It is planted at build time, with Go's -overlay flag, so
// that the core has no switches and reads like its specification. [Main] builds the
// simulator once for each, plays seeds until a check fails, and says which did.
//
// A mutation is data: a text of the core that occurs once, and what stands there
// instead. When the core is written anew a test says which text has to follow.
//
// Some conditions cannot be seen to be missing, since another one holds in their
// place. Those say so in Redundant, with the argument: if the simulator catches such
// a mutation after all, the argument is wrong.
package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mutation is one fault to be planted.
type Mutation struct {
	Rule  string // of ownership/doc.go that it breaks; or founding, snapshot, tokens
	Name  string // which condition of the rule
	Why   string // what goes wrong, in a sentence
	Needs string // the situation that shows it: what the simulator must bring about
	Edits []Edit

	// Assert is the invariant that sees it at once. Such a mutation is played a
	// second time with that assertion silent, so that the checkers are tested too.
	Assert string
	// Redundant says why nothing can go wrong that anybody sees (without Assert,
	// where there is one): such a mutation is not expected to be caught.
	Redundant string
}

// Edit replaces a text that occurs once in a file of ownership.
type Edit struct{ File, Old, New string }

// ID names a mutation in one line.
func (m Mutation) ID() string { return m.Rule + ": " + m.Name }

// Table lists all mutations in the order of the specification.
func Table() []Mutation {
	var all []Mutation
	for _, m := range slices.Concat(views, founding, groups, takeover, locks, modes, sessions) {
		if m.Assert == "" {
			all = append(all, m)
			continue
		}
		asserted, silent := m, m
		asserted.Redundant = ""
		silent.Name += ", " + m.Assert + " silent"
		silent.Edits = append(slices.Clone(m.Edits), silence(m.Assert))
		all = append(all, asserted, silent)
	}
	return all
}

// Baselines plant no fault, so nothing may be caught. The second has the smaller
// bounds of the mutations for which the simulator's worlds are too small.
func Baselines() []Mutation {
	return []Mutation{
		{Rule: "baseline", Name: "no fault", Why: "nothing goes wrong"},
		{Rule: "baseline", Name: "small bounds", Why: "nothing goes wrong", Edits: []Edit{smallBuffer, smallChunks}},
	}
}

// With these an owner buffers four writes and a chunk holds one key, so that
// snapshots and states of many chunks occur in a world of few keys.
var (
	smallBuffer = Edit{"owner.go", "bufferMax   = 4096", "bufferMax   = 4"}
	smallChunks = Edit{"replica.go", "chunkBytes = 128 << 10", "chunkBytes = 1"}
)

// silence lets an invariant fail without a word.
func silence(invariant string) Edit {
	const head = "func violated(name, format string, args ...any) {\n"
	name := invariant + " "
	return Edit{"invariants.go", head, head + fmt.Sprintf("\tif name[:%d] == %q {\n\t\treturn\n\t}\n", len(name), name)}
}

// Apply returns the changed files by name, given the directory of ownership.
func (m Mutation) Apply(dir string) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.Edits {
		text, ok := files[e.File]
		if !ok {
			b, err := os.ReadFile(filepath.Join(dir, e.File))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("mutation %q no longer applies: update Old; it occurs %d times in ownership/%s:\n%s", m.ID(), n, e.File, e.Old)
		}
		files[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return files, nil
}
