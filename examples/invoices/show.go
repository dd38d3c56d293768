package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// The show prints what happens. On a terminal the events scroll above a bar that is drawn again and
// again; otherwise all is plain lines, with the progress every two seconds.
type show struct {
	out      *os.File
	status   func() status
	terminal bool
	color    bool
	start    time.Time
	stop     chan struct{}
	stopped  chan struct{}

	mu    sync.Mutex
	drawn int // lines of the bar on the screen, above the cursor
}

func newShow(out *os.File, status func() status) *show {
	s := &show{out: out, status: status, start: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	if info, err := out.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" {
		s.terminal = true
		s.color = os.Getenv("NO_COLOR") == ""
	}
	go s.loop()
	return s
}

func (s *show) loop() {
	defer close(s.stopped)
	every := 2 * time.Second
	if s.terminal {
		every = 100 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.print("")
		case <-s.stop:
			return
		}
	}
}

// end draws the last picture and gives the terminal back.
func (s *show) end() {
	close(s.stop)
	<-s.stopped
	s.print("")
}

// event prints a line that stays.
func (s *show) event(format string, args ...any) { s.print(s.line("", format, args)) }

// alert is an event that stands out.
func (s *show) alert(format string, args ...any) { s.print(s.line("1;33", format, args)) }

func (s *show) line(color, format string, args []any) string {
	return fmt.Sprintf("%5.1f s  %s\n", time.Since(s.start).Seconds(), s.paint(color, fmt.Sprintf(format, args...)))
}

func (s *show) paint(color, text string) string {
	if !s.color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// print prints the event, if any, and the present state below it, in one write.
func (s *show) print(event string) {
	st := s.status()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		if event == "" {
			event = s.line("", "%s", []any{plain(st)})
		}
		fmt.Fprint(s.out, event)
		return
	}
	lines := s.picture(st)
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn) // up to where the picture begins
	}
	// Clear to the end of the screen; no line of the picture may wrap, or its height would be unknown.
	b.WriteString("\x1b[J" + event + "\x1b[?7l" + strings.Join(lines, "\n") + "\n\x1b[?7h")
	s.drawn = len(lines)
	fmt.Fprint(s.out, b.String())
}

func plain(st status) string {
	parts := []string{fmt.Sprintf("%d of %d paid", st.paid, st.total)}
	for _, w := range st.workers {
		part := fmt.Sprintf("%s %d", w.name, w.paid)
		if w.state != "working" {
			part += " (" + w.state + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// picture is the bar and a line for each worker.
func (s *show) picture(st status) []string {
	const width = 50
	full := width * st.paid / st.total
	lines := []string{"", fmt.Sprintf("  %s%s  %d of %d paid", s.paint("32", strings.Repeat("█", full)), strings.Repeat("░", width-full), st.paid, st.total)}
	for _, w := range st.workers {
		state := fmt.Sprintf("%-8s", w.state)
		switch w.state {
		case "killed":
			state = s.paint("31", state)
		case "frozen":
			state = s.paint("36", state)
		}
		lines = append(lines, fmt.Sprintf("  %s  %s  owns %3d partitions   paid %3d", w.name, state, w.owns, w.paid))
	}
	return append(lines, "")
}
