package mesh

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// A long key is cut, but not within a character.
func TestErrorCutsTheKey(t *testing.T) {
	for i := range 5 {
		key := strings.Repeat("x", i) + strings.Repeat("\U0001F512", 40)
		text := (&Error{"Lock", key, ErrLocked}).Error()
		if !utf8.ValidString(text) || strings.Contains(text, `\x`) || !strings.Contains(text, "…") || len(text) > 120 {
			t.Errorf("%q", text)
		}
	}
	if text := (&Error{"Lock", strings.Repeat("\x80", 100), ErrLocked}).Error(); !strings.Contains(text, strings.Repeat(`\x80`, 60)) {
		t.Errorf("%q", text)
	}
}
