package simtest

import (
	"testing"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest/story"
)

// Every kind has a name, that a trace is read by, and a family on the page.
func TestKindNames(t *testing.T) {
	for k := ownership.KindContact; k <= ownership.KindNotice; k++ {
		got, err := ParseKinds(KindSet(k).String())
		if err != nil || got != KindSet(k) {
			t.Errorf("kind %d is named %q, which is %b, %v", k, KindName(k), got, err)
		}
		if story.FamilyOf(KindName(k)) == story.Other {
			t.Errorf("%s has no family", KindName(k))
		}
	}
}
