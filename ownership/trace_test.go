package ownership_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest"
)

// The golden traces in testdata show the protocol at work: each is a play of a
// few nodes under virtual time, and its first comment says what it claims. They
// are meant to be read. Nothing in them is random: a message takes 1 ms, all
// clocks run alike, and NodeIDs are given in the order of starting.
//
// A block is one or more commands and, after ----, all that happened meanwhile:
//
//	new                     an empty world; each file begins with one
//	mesh [founders=3] [fresh] [partitions=1] [replicas=3] [maxttl=20s] [membership=2s]
//	                        constants of the nodes that start from here on
//	start a b c             starts nodes; whether they found or join is up to them
//	cluster a b c […]       mesh and start, until all partitions are served; shows the view
//	lock a k [ttl=5s] [try] [norenew] [mode=shared] [delay=3s] [lease=j] [after=j]
//	                        a's client asks for key k; modes are shared, update, 2/3
//	unlock a k [heir=b], extend a k
//	alter a k mode=shared   or value=x, or novalue; giveup a k ends that
//	look a k [watch], page a, evict a k of=b
//	run 500ms, run until Granted           lets time pass; shows what happened
//	skip 5s                 the same, and shows nothing
//	crash a, freeze a, thaw a, leave a
//	cut a b, cut a→b        no message passes between two nodes, or one way
//	split a b               these see each other, and the rest each other
//	drop Settled a→b        loses the messages of a kind; * is any
//	mend                    undoes all cuts, splits and drops
//	lie a b dead, lie a b   a's roster calls b dead, or no longer
//	show X Y, hide X, only X Y             chooses the kinds of messages and events
//	state [a b]             what nodes keep
//	views                   all views so far
//
// A line says when, who to whom, what: "1.203 a→b,c Seal +1" was sent at 1.203 s
// to both. Terms, epochs and tokens count from the founding epoch: +1 is the
// second view, and +1·2 the second token of that term. "(lost)" never arrives.
// What a node says to itself is not shown.
func TestTraces(t *testing.T) {
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".txt") {
			continue
		}
		t.Run(strings.TrimSuffix(f.Name(), ".txt"), func(t *testing.T) {
			s := &stage{}
			s.reset()
			datadriven.RunTest(t, "testdata/"+f.Name(), func(t *testing.T, d *datadriven.TestData) string {
				first := []string{d.Cmd}
				for _, a := range d.CmdArgs {
					first = append(first, a.String())
				}
				var out strings.Builder
				for line := range strings.Lines(strings.Join(first, " ") + "\n" + d.Input) {
					if words := strings.Fields(line); len(words) > 0 {
						if err := s.command(&out, words[0], words[1:]); err != nil {
							d.Fatalf(t, "%s: %v", strings.TrimSpace(line), err)
						}
					}
				}
				return out.String()
			})
		})
	}
}

// stage is a world, what is remembered of it for people, and what is shown.
type stage struct {
	w       *simtest.World
	config  ownership.Config
	labels  map[ownership.NodeID]string
	nodes   map[string][]ownership.NodeID // NodeIDs of a name, in order
	base    ownership.Epoch               // of the first founding
	views   []*ownership.View
	keys    map[ownership.RequestID]string
	handles map[string]ownership.Handle // "node key": of the newest Lock
	names   map[nodeHandle]string       // key
	handle  ownership.Handle
	tokens  map[string]ownership.Token // "node key": of its newest grant
	op      uint64
	drops   []drop
	hidden  map[string]bool
	only    map[string]bool // not nil: nothing else is shown
	lines   []line
	until   string // run until a line of this kind
	reached bool
}

type nodeHandle struct {
	node   string
	handle ownership.Handle
}

// drop loses messages of a kind on a link.
type drop struct{ kind, from, to string }

// reset begins anew in an empty world.
func (s *stage) reset() {
	w := simtest.New(1)
	w.Net.MinDelay, w.Net.MeanDelay = time.Millisecond, 0
	*s = stage{w: w, labels: map[ownership.NodeID]string{}, nodes: map[string][]ownership.NodeID{}, keys: map[ownership.RequestID]string{},
		handles: map[string]ownership.Handle{}, names: map[nodeHandle]string{}, tokens: map[string]ownership.Token{}, hidden: map[string]bool{}}
	s.config = ownership.Config{Founders: 3, Params: ownership.Params{Partitions: 1, Replicas: 3, MaxTTL: 20 * time.Second, MembershipTTL: 2 * time.Second, DriftPPM: 10_000}}
	for _, kind := range strings.Fields("Contact AskView Renew RenewAck Settled SettledAck Heartbeat HeartbeatAck Confirm ConfirmAck Extended Pending Serving") {
		s.hidden[kind] = true
	}
	w.OnSend = s.sent
	w.OnEvent = s.event
	w.Deliver = func(from, to *simtest.Node, m ownership.Message) bool { return !s.dropped(from.Name, to.Name, m) }
}

func (s *stage) command(out *strings.Builder, cmd string, words []string) error {
	args, flags := split(words)
	switch cmd {
	case "new":
		s.reset()
	case "mesh":
		return s.mesh(flags)
	case "cluster":
		return s.cluster(out, args, flags)
	case "lock", "unlock", "extend", "alter", "giveup", "look", "page", "evict":
		return s.client(cmd, args, flags)
	case "run":
		return s.run(out, args)
	case "skip":
		return s.skip(args)
	case "cut", "split", "drop", "mend", "lie":
		return s.network(cmd, args)
	case "show":
		for _, kind := range args {
			delete(s.hidden, kind)
			if s.only != nil {
				s.only[kind] = true
			}
		}
	case "hide":
		for _, kind := range args {
			s.hidden[kind] = true
		}
	case "only":
		s.only, s.hidden = map[string]bool{}, map[string]bool{}
		for _, kind := range args {
			s.only[kind] = true
		}
	case "state":
		s.state(out, args)
	case "views":
		for _, v := range s.views {
			fmt.Fprintf(out, "%s\n", s.view(v))
		}
	default:
		return s.node(cmd, args)
	}
	return nil
}

// node runs the commands that do one thing to each node named.
func (s *stage) node(cmd string, names []string) error {
	for _, name := range names {
		n := s.w.Node(name)
		if (n == nil) != (cmd == "start") {
			return fmt.Errorf("node %s is there: %v", name, n != nil)
		}
		switch cmd {
		case "start":
			s.w.Start(name, s.config)
			s.meet()
		case "crash":
			s.w.Crash(n)
		case "freeze":
			s.w.Freeze(n)
		case "thaw":
			s.w.Thaw(n)
		case "leave":
			s.w.Input(n, ownership.Leave{})
		default:
			return fmt.Errorf("unknown command")
		}
	}
	return nil
}

// split tells words from options.
func split(words []string) (args []string, flags map[string]string) {
	flags = map[string]string{}
	for _, w := range words {
		key, value, found := strings.Cut(w, "=")
		if found || slices.Contains([]string{"fresh", "try", "norenew", "watch", "novalue"}, w) {
			flags[key] = value
		} else {
			args = append(args, w)
		}
	}
	return args, flags
}

func (s *stage) mesh(flags map[string]string) error {
	s.config.Fresh = false
	for key, value := range flags {
		var err error
		p := &s.config.Params
		switch key {
		case "fresh":
			s.config.Fresh = true
		case "founders":
			_, err = fmt.Sscan(value, &s.config.Founders)
		case "partitions":
			_, err = fmt.Sscan(value, &p.Partitions)
		case "replicas":
			_, err = fmt.Sscan(value, &p.Replicas)
		case "maxttl":
			p.MaxTTL, err = time.ParseDuration(value)
		case "membership":
			p.MembershipTTL, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("unknown constant %s", key)
		}
		if err != nil {
			return err
		}
	}
	return s.config.Params.Validate()
}

func (s *stage) cluster(out *strings.Builder, names []string, flags map[string]string) error {
	if _, given := flags["founders"]; !given {
		flags["founders"] = fmt.Sprint(len(names))
	}
	if err := s.mesh(flags); err != nil {
		return err
	}
	if err := s.node("start", names); err != nil {
		return err
	}
	ready := func() bool {
		active := 0
		for _, n := range s.w.Nodes {
			for _, p := range n.Core.Status(0).Partitions {
				if p.Active {
					active++
				}
			}
		}
		return active == s.config.Params.Partitions
	}
	if !s.w.RunUntil(s.w.Now+time.Minute, ready) {
		return fmt.Errorf("not ready after a minute")
	}
	s.w.RunUntil((s.w.Now + time.Second).Truncate(time.Second), func() bool { return false })
	s.lines = nil
	fmt.Fprintf(out, "%s %s\n", clock(s.w.Now), s.view(s.views[len(s.views)-1]))
	return nil
}

func (s *stage) client(cmd string, args []string, flags map[string]string) error {
	if cmd == "page" {
		args = append(args, "")
	}
	if len(args) != 2 {
		return fmt.Errorf("a node and a key")
	}
	n, key := s.w.Node(args[0]), args[1]
	if n == nil {
		return fmt.Errorf("no such node")
	}
	id := args[0] + " " + key
	mode, err := modeOf(flags["mode"])
	if err != nil {
		return err
	}
	switch cmd {
	case "lock":
		ttl := 5 * time.Second
		if v := flags["ttl"]; v != "" {
			var err error
			if ttl, err = time.ParseDuration(v); err != nil {
				return err
			}
		}
		var delay time.Duration
		if v := flags["delay"]; v != "" {
			if delay, err = time.ParseDuration(v); err != nil {
				return err
			}
		}
		_, try := flags["try"]
		_, norenew := flags["norenew"]
		s.handles[id] = s.newHandle(n, key)
		s.w.Input(n, ownership.Lock{Handle: s.handle, Key: key, TTL: ttl, Mode: mode, Try: try, NoRenew: norenew, Delay: delay,
			Lease: s.handles[args[0]+" "+flags["lease"]], After: s.handles[args[0]+" "+flags["after"]]})
	case "unlock":
		s.w.Input(n, ownership.Unlock{Handle: s.handles[id], Heir: flags["heir"]})
	case "alter":
		s.op++
		in := ownership.Change{Handle: s.handles[id], Op: s.op, What: ownership.AlterMode, Mode: mode}
		if v, is := flags["value"]; is {
			in.What, in.Value = ownership.AlterValue, []byte(v)
		} else if _, is := flags["novalue"]; is {
			in.What = ownership.AlterNoValue
		}
		s.w.Input(n, in)
	case "giveup":
		s.w.Input(n, ownership.Unchange{Handle: s.handles[id], Op: s.op})
	case "look":
		_, watch := flags["watch"]
		s.w.Input(n, ownership.Look{Handle: s.newHandle(n, key), Key: key, Watch: watch})
	case "page":
		s.w.Input(n, ownership.Look{Handle: s.newHandle(n, key), Page: true})
	case "evict":
		s.w.Input(n, ownership.Evict{Handle: s.newHandle(n, key), Key: key, Token: s.tokens[flags["of"]+" "+key]})
	case "extend":
		s.w.Input(n, ownership.Extend{Handle: s.handles[id]})
	}
	return nil
}

func (s *stage) newHandle(n *simtest.Node, key string) ownership.Handle {
	s.handle++
	s.names[nodeHandle{n.Name, s.handle}] = key
	return s.handle
}

func modeOf(text string) (ownership.Mode, error) {
	switch text {
	case "", "exclusive":
		return ownership.Exclusive, nil
	case "shared":
		return ownership.Shared, nil
	case "update":
		return ownership.ForUpdate, nil
	}
	n, of := 0, 0
	if _, err := fmt.Sscanf(text, "%d/%d", &n, &of); err != nil {
		return ownership.Mode{}, fmt.Errorf("no such mode: %s", text)
	}
	return ownership.Permits(n, of), nil
}

func (s *stage) run(out *strings.Builder, args []string) error {
	d := time.Minute
	s.until, s.reached = "", false
	if len(args) > 1 && args[0] == "until" {
		s.until = args[1]
	} else if err := duration(args, &d); err != nil {
		return err
	}
	s.w.RunUntil(s.w.Now+d, func() bool { return s.reached })
	if s.until != "" && !s.reached {
		return fmt.Errorf("no %s within a minute", s.until)
	}
	s.flush(out)
	return nil
}

func (s *stage) skip(args []string) error {
	var d time.Duration
	if err := duration(args, &d); err != nil {
		return err
	}
	s.w.RunFor(d)
	s.lines = nil
	return nil
}

func duration(args []string, d *time.Duration) (err error) {
	if len(args) != 1 {
		return fmt.Errorf("how long?")
	}
	*d, err = time.ParseDuration(args[0])
	return err
}

func (s *stage) network(cmd string, args []string) error {
	switch {
	case cmd == "mend":
		s.drops = nil
		s.w.Mend()
	case cmd == "split":
		s.w.Split(args...)
	case cmd == "lie" && len(args) >= 2:
		s.w.Lie(s.w.Node(args[0]), args[1], len(args) == 3)
	case cmd == "drop" && len(args) == 2:
		from, to, ok := strings.Cut(args[1], "→")
		if !ok {
			return fmt.Errorf("a link is from→to")
		}
		s.drops = append(s.drops, drop{args[0], from, to})
	case cmd == "cut" && len(args) == 2:
		s.w.Cut(args[0], args[1])
	case cmd == "cut" && len(args) == 1:
		from, to, _ := strings.Cut(args[0], "→")
		s.w.CutOneWay(from, to)
	default:
		return fmt.Errorf("wrong number of arguments")
	}
	return nil
}

func (s *stage) dropped(from, to string, m ownership.Message) bool {
	return slices.ContainsFunc(s.drops, func(d drop) bool {
		return (d.kind == kindOf(m) || d.kind == "*") && (d.from == "*" || d.from == from) && (d.to == "*" || d.to == to)
	})
}
