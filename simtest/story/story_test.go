package story

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"html"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

var write = flag.String("write", "", "a directory for the sample pages, to look at")

func render(t *testing.T, s *Story) string {
	t.Helper()
	var out bytes.Buffer
	if err := s.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var samples = []struct {
	name string
	make func() *Story
}{{"small", small}, {"big", func() *Story { return big(20_000) }}, {"hostile", hostile}, {"empty", func() *Story { return &Story{} }}}

func TestSamples(t *testing.T) {
	for _, sample := range samples {
		t.Run(sample.name, func(t *testing.T) {
			page := render(t, sample.make())
			if again := render(t, sample.make()); again != page {
				t.Error("equal stories gave different pages")
			}
			if n := strings.Count(page, "<script"); n != 2 {
				t.Errorf("%d script elements, want 2: the data and the program", n)
			}
			if n := strings.Count(page, "</script"); n != 2 {
				t.Errorf("%d ends of a script element, want 2", n)
			}
			if *write != "" {
				if err := os.WriteFile(filepath.Join(*write, sample.name+".html"), []byte(page), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A page asks for nothing that it does not bring along.
func TestSelfContained(t *testing.T) {
	page := render(t, small())
	if outside := regexp.MustCompile(`(?i)https?:|//[a-z0-9-]+\.[a-z]|\bsrc\s*=|\bhref\s*=|<link|@import|url\(|fetch\(|XMLHttpRequest|import\(`).FindAllString(page, -1); outside != nil {
		t.Errorf("refers to what is elsewhere: %q", outside)
	}
	if !strings.Contains(page, `default-src 'none'`) {
		t.Error("nothing forbids the browser to load what is elsewhere")
	}
}

var dataElement = regexp.MustCompile(`(?s)<script type="application/json" id="story">(.*?)</script>`)

// dataOf is what the page's program reads, as a browser finds it.
func dataOf(t *testing.T, page string) (d struct {
	Story
	Kinds    map[string]kind
	Overlaps []Overlap
}) {
	t.Helper()
	m := dataElement.FindStringSubmatch(page)
	if m == nil {
		t.Fatal("no data in the page")
	}
	if err := json.Unmarshal([]byte(m[1]), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDataArrives(t *testing.T) {
	s := small()
	d := dataOf(t, render(t, s))
	if !reflect.DeepEqual(&d.Story, s) {
		t.Errorf("the page has\n%+v\nof\n%+v", d.Story, s)
	}
	if d.Kinds["Heartbeat"] != (kind{Locks, true}) || d.Kinds["Seal"] != (kind{Family: Group}) {
		t.Errorf("kinds %v", d.Kinds)
	}
	if len(d.Overlaps) != 1 {
		t.Errorf("overlaps %v", d.Overlaps)
	}
}

func TestTextsAreThere(t *testing.T) {
	s := small()
	page := html.UnescapeString(render(t, s))
	head, _, _ := strings.Cut(page, "<main>")
	for _, want := range []string{s.Title, s.Failure, s.Replay} {
		if !strings.Contains(head, want) {
			t.Errorf("%q does not stand at the top", want)
		}
	}
	for _, m := range s.Messages {
		if !strings.Contains(page, m.Detail) {
			t.Errorf("no %q", m.Detail)
		}
	}
}

func TestEscaped(t *testing.T) {
	s := hostile()
	page := render(t, s)
	for _, markup := range []string{"<img", "<script>alert", "<!-- \u2028"} {
		if strings.Contains(page, markup) {
			t.Errorf("%q got into the page", markup)
		}
	}
	if want := strings.ReplaceAll(s.Title, "\xff", "\ufffd"); dataOf(t, page).Messages[0].Detail != want {
		t.Errorf("the detail came out as %q, want %q", dataOf(t, page).Messages[0].Detail, want)
	}
}

// Every message of the protocol's specification has a family here.
func TestKindsAreAll(t *testing.T) {
	spec, err := os.ReadFile("../../ownership/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(spec), "# Messages")
	table, _, _ = strings.Cut(table, "Every message is sent again")
	rows := regexp.MustCompile(`(?m)^//\t([A-Z]\w+) +.*→`).FindAllStringSubmatch(table, -1)
	if len(rows) < 20 {
		t.Fatalf("found %d messages in the specification", len(rows))
	}
	for _, row := range rows {
		if FamilyOf(row[1]) == Other {
			t.Errorf("%s has no family", row[1])
		}
	}
}

func TestOverlaps(t *testing.T) {
	hold := func(key string, from, to time.Duration) Hold { return Hold{Key: key, From: from, To: to} }
	part := func(key string, weight uint64, from time.Duration) Hold {
		return Hold{Key: key, From: from, To: 9, Mode: "some", Weight: weight, Of: 5}
	}
	for _, c := range []struct {
		name  string
		holds []Hold
		want  []Overlap
	}{
		{"one after the other", []Hold{hold("k", 1, 2), hold("k", 2, 3)}, nil},
		{"two keys", []Hold{hold("k", 1, 5), hold("j", 2, 3)}, nil},
		{"within", []Hold{hold("k", 1, 5), hold("k", 2, 3)}, []Overlap{{0, 1, 2, 3}}},
		{"not in order", []Hold{hold("k", 2, 6), hold("k", 1, 5)}, []Overlap{{1, 0, 2, 5}}},
		{"to the end", []Hold{hold("k", 1, 0), hold("k", 8, 9)}, []Overlap{{0, 1, 8, 9}}},
		{"three", []Hold{hold("k", 1, 9), hold("k", 2, 4), hold("k", 3, 5)}, []Overlap{{0, 1, 2, 4}, {0, 2, 3, 5}, {1, 2, 3, 4}}},
		{"room for both", []Hold{part("k", 1, 2), part("k", 2, 3)}, nil},
		{"no room", []Hold{part("k", 3, 2), part("k", 3, 3)}, []Overlap{{0, 1, 3, 9}}},
		{"one takes all", []Hold{part("k", 1, 2), hold("k", 3, 5)}, []Overlap{{0, 1, 3, 5}}},
		{"no time at all", []Hold{hold("k", 1, 9), hold("k", 2, 2)}, nil},
	} {
		if got := (&Story{Holds: c.holds, End: 10}).Overlaps(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	lanes := []Lane{{Name: "a"}}
	for _, s := range []*Story{
		{Lanes: lanes, Messages: []Message{{From: 0, To: 1}}},
		{Lanes: lanes, Messages: []Message{{From: World, To: 0}}},
		{Lanes: lanes, Holds: []Hold{{Lane: 1}}},
		{Lanes: lanes, Marks: []Mark{{Lane: -2}}},
		{Lanes: lanes, Spans: []Span{{Lane: 0, Other: 7}}},
	} {
		if err := s.WriteHTML(new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "lane") {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if err := small().WriteHTML(full{}); !errors.Is(err, errFull) {
		t.Errorf("a writer that fails: %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
