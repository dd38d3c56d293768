package main

import (
	"os"
	"strings"
	"testing"
)

// The program in the README is the one between the marks here, to the letter.
func TestReadmeProgram(t *testing.T) {
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, program, _ := strings.Cut(read("main.go"), "// README begin\n")
	program, _, _ = strings.Cut(program, "\t// README end")
	program = strings.ReplaceAll("\n"+program, "\n\t", "\n") // one level of indentation less
	if program = strings.TrimSpace(program); program == "" || !strings.Contains(read("../../README.md"), program) {
		t.Errorf("the README does not have this program:\n%s", program)
	}
}

func TestQuickstart(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nodes on loopback")
	}
	main()
}
