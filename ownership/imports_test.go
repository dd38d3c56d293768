package ownership

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lockmesh/lockmesh/"

// mayImport is who may import whom: examples, simtest → mesh → ownership,
// transport; transport → ownership (message types); ownership → ring.
var mayImport = map[string][]string{
	"ring":      {},
	"ownership": {"ring"},
	"transport": {"ownership", "ring"},
	"mesh":      {"ownership", "transport", "ring"},
	"simtest":   {"mesh", "ownership", "transport", "ring", "simtest", "simtest/explore", "simtest/linear", "simtest/mutants", "simtest/story"},
}

// oneDoor lists the modules that are imported by one file (or one family of
// files, by prefix) alone.
var oneDoor = map[string]string{
	"github.com/buraksezer/consistent":  "ring/owner",
	"github.com/hashicorp/memberlist":   "mesh/gossip.go",
	"github.com/vmihailenco/msgpack/v5": "transport/codec",
	"modernc.org/sqlite":                "examples/",
	"github.com/anishathalye/porcupine": "simtest/linear/",
	"golang.org/x/sys/unix":             "mesh/clock_linux",
}

// standard is what ownership may use of the standard library: no net, sync, log
// or random source; time for durations alone (see TestCoreHasNoClock).
var standard = []string{"cmp", "encoding/binary", "fmt", "maps", "math", "slices", "strings", "time"}

func TestImportDirections(t *testing.T) {
	eachFile(t, func(pkg, file string, f *ast.File) {
		for _, i := range f.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			if to, ours := strings.CutPrefix(path, module); ours {
				if allowed, known := mayImport[pkg]; known && !slices.Contains(allowed, to) {
					t.Errorf("%s imports %s; it may import %v", file, to, allowed)
				}
			}
			if door, has := oneDoor[path]; has && !strings.HasPrefix(file, door) {
				t.Errorf("%s imports %s, whose one door is %s", file, path, door)
			}
			if pkg == "ownership" && !strings.Contains(path, ".") && !slices.Contains(standard, path) {
				t.Errorf("%s imports %s; the core may use %v", file, path, standard)
			}
		}
	})
}

// TestCoreHasNoClock: equal state, time and input give equal output, so the core
// reads no clock, starts no goroutine and keeps no package-level state.
func TestCoreHasNoClock(t *testing.T) {
	eachFile(t, func(pkg, file string, f *ast.File) {
		if pkg != "ownership" && pkg != "ring" {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType:
				t.Errorf("%s: goroutines and channels have no place in the core", file)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && !slices.Contains([]string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}, n.Sel.Name) {
					t.Errorf("%s uses time.%s", file, n.Sel.Name)
				}
			}
			return true
		})
	})
}

// TestLibraryImports shows what a program that imports mesh compiles in: not the
// database driver of an example.
func TestLibraryImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"mesh")
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("go list does not run here: %v", err)
	}
	modules := strings.Fields(string(bytes.TrimSpace(out)))
	slices.Sort(modules)
	modules = slices.Compact(modules)
	t.Logf("mesh compiles in: %v", modules)
	for _, m := range modules {
		if strings.HasPrefix(m, "modernc.org/") || strings.Contains(m, "porcupine") || strings.Contains(m, "datadriven") || strings.Contains(m, "rapid") || strings.Contains(m, "goleak") {
			t.Errorf("mesh imports %s", m)
		}
	}
}

// eachFile parses every file of the module that is not a test.
func eachFile(t *testing.T, f func(pkg, file string, tree *ast.File)) {
	t.Helper()
	root := ".."
	files := 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		file, _ := filepath.Rel(root, path)
		file = filepath.ToSlash(file)
		pkg, _, _ := strings.Cut(file, "/")
		files++
		f(pkg, file, tree)
		return nil
	})
	if err != nil || files < 20 {
		t.Fatalf("%d files read: %v", files, err)
	}
}
