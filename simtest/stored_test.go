package simtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What random runs have found, each cut down to what it takes. They failed once
// ("check" says in what), and must not again.
func TestStored(t *testing.T) {
	files, err := filepath.Glob("testdata/*.trace")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".trace"), func(t *testing.T) {
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			trace, err := ReadTrace(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range Replay(trace, nil).Failures {
				t.Error(f)
			}
		})
	}
}
