package story

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"time"
)

//go:embed page/story.html
var pageHTML string

//go:embed page/story.css
var pageCSS string

// The page's program: the data and what of it is shown, where it is drawn, how,
// and what the reader can do.
var (
	//go:embed page/data.js
	dataJS string
	//go:embed page/layout.js
	layoutJS string
	//go:embed page/draw.js
	drawJS string
	//go:embed page/panel.js
	panelJS string
	//go:embed page/page.js
	pageJS string
)

var page = template.Must(template.New("story").Parse(pageHTML))

// data is what the page's program reads.
type data struct {
	Story
	End      time.Duration   `json:"end"`
	Kinds    map[string]kind `json:"kinds"`
	Overlaps []Overlap       `json:"overlaps,omitempty"`
}

// WriteHTML writes the page. It fails if w does, and for a story that refers to
// a lane that it does not have.
func (s *Story) WriteHTML(w io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	d := data{Story: *s, End: s.end(), Kinds: map[string]kind{}, Overlaps: s.Overlaps()}
	for _, m := range s.Messages {
		d.Kinds[m.Kind] = kind{Family: FamilyOf(m.Kind), Routine: Routine(m.Kind)}
	}
	js, err := json.Marshal(d) // writes <, > and & as \u003c …: nothing in it ends the script element
	if err != nil {
		return err
	}
	var out bytes.Buffer // whole or not at all
	err = page.Execute(&out, map[string]any{
		"Story":  s,
		"Style":  template.CSS(pageCSS),
		"Data":   template.JS(js),
		"Script": template.JS(dataJS + layoutJS + drawJS + panelJS + pageJS),
	})
	if err != nil {
		return err
	}
	_, err = w.Write(out.Bytes())
	return err
}
