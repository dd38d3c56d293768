package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// logQueue is how many records may wait for a slow log before they are dropped.
const logQueue = 1024

// logSink hands log records to the user's handler from a goroutine of its own,
// so that nobody in the node waits for a log, least of all the loop or somebody
// who holds a lock of memberlist. What finds the queue full is dropped and
// counted.
type logSink struct {
	queue chan logEntry
	done  chan struct{} // closed when the goroutine has ended
	quit  chan struct{} // closed to end it

	mu      sync.Mutex
	dropped int
}

type logEntry struct {
	to     slog.Handler
	record slog.Record
}

// newLogger returns a logger that writes through a logSink.
func newLogger(to *slog.Logger) (*slog.Logger, *logSink) {
	s := &logSink{
		queue: make(chan logEntry, logQueue),
		done:  make(chan struct{}),
		quit:  make(chan struct{}),
	}
	go s.run(to.Handler())
	return slog.New(&logHandler{s, to.Handler()}), s
}

func (s *logSink) run(top slog.Handler) {
	defer close(s.done)
	for {
		select {
		case e := <-s.queue:
			s.write(top, e)
		case <-s.quit:
			for {
				select {
				case e := <-s.queue:
					s.write(top, e)
				default:
					return
				}
			}
		}
	}
}

func (s *logSink) write(top slog.Handler, e logEntry) {
	e.to.Handle(context.Background(), e.record) // nobody to tell
	s.mu.Lock()
	n := s.dropped
	s.dropped = 0
	s.mu.Unlock()
	if n > 0 && top.Enabled(context.Background(), slog.LevelWarn) {
		r := slog.NewRecord(e.record.Time, slog.LevelWarn, "log records dropped: the log is too slow", 0)
		r.AddAttrs(slog.Int("dropped", n))
		top.Handle(context.Background(), r)
	}
}

// close writes what is queued. It waits at most a second for a log that blocks;
// the goroutine then ends when the log lets go of it.
func (s *logSink) close() {
	close(s.quit)
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-s.done:
	case <-t.C:
	}
}

// logHandler is the slog.Handler in front of a logSink.
type logHandler struct {
	sink *logSink
	to   slog.Handler
}

func (h *logHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.to.Enabled(ctx, l) }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.sink.queue <- logEntry{h.to, r.Clone()}:
	default:
		h.sink.mu.Lock()
		h.sink.dropped++
		h.sink.mu.Unlock()
	}
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.sink, h.to.WithAttrs(attrs)}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.sink, h.to.WithGroup(name)}
}

// gossipLog is the io.Writer behind memberlist's logger: one line, one record.
// It is called under memberlist's locks. Of lines that begin alike it lets one
// through in ten seconds: strangers can cause them.
type gossipLog struct {
	to *slog.Logger

	mu   sync.Mutex // held for moments
	said seldom
}

func newGossipLog(to *slog.Logger) *gossipLog {
	return &gossipLog{to: to, said: seldom{every: 10 * time.Second}}
}

func (w *gossipLog) Write(line []byte) (int, error) {
	level, text := gossipLevel(strings.TrimSpace(string(line)))
	if level > slog.LevelDebug {
		w.mu.Lock()
		kind := text
		if i := strings.IndexAny(text, `0123456789(:"'`); i > 0 {
			kind = text[:i]
		}
		ok := w.said.ok(time.Now(), kind)
		w.mu.Unlock()
		if !ok {
			return len(line), nil
		}
	}
	w.to.Log(context.Background(), level, text, "from", "memberlist")
	return len(line), nil
}

// gossipRoutine are beginnings of lines that memberlist calls errors or
// warnings and that belong to its daily work: it tries again, and what it
// concludes is told by the roster.
var gossipRoutine = []string{
	"Failed to send", "Failed fallback TCP ping", "Failed UDP ping", "Push/Pull with", "Failed push/pull merge",
	"Failed to receive", "failed to receive", "Failed to push local state", "Failed to read remote state",
	"Failed to forward ack", "Suspect ", "Marking ", "Refuting ", "Got ping for unexpected node",
	"ignoring alive message", "Was able to connect to", "handler queue full",
}

// gossipLevel takes a line of memberlist apart: "[WARN] memberlist: text".
func gossipLevel(line string) (slog.Level, string) {
	level := slog.LevelInfo
	if tag, rest, ok := strings.Cut(line, "] "); ok && strings.HasPrefix(tag, "[") {
		switch tag[1:] {
		case "DEBUG":
			level = slog.LevelDebug
		case "WARN":
			level = slog.LevelWarn
		case "ERR", "ERROR":
			level = slog.LevelError
		}
		line = rest
	}
	line = strings.TrimPrefix(line, "memberlist: ")
	for _, routine := range gossipRoutine {
		if strings.HasPrefix(line, routine) {
			return slog.LevelDebug, line
		}
	}
	return level, line
}

// seldom lets a log line through at most once per interval and subject. It
// belongs to one goroutine.
type seldom struct {
	every time.Duration
	last  map[string]time.Time
}

func (s *seldom) ok(now time.Time, subject string) bool {
	if t, seen := s.last[subject]; seen && now.Sub(t) < s.every {
		return false
	}
	if s.last == nil || len(s.last) > 1000 { // subjects come from outside
		s.last = map[string]time.Time{}
	}
	s.last[subject] = now
	return true
}

func hexID[T ~uint64](id T) string { return fmt.Sprintf("%016x", uint64(id)) }
