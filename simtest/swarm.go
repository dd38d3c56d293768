package simtest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Options say how a seed is played.
type Options struct {
	// Faults limits the fault classes to these names (see Classes); nil: any.
	Faults []string
	// Habits limits what clients do to these (see Habits); nil: any.
	Habits []string
	// Record keeps what was done, so that Result.Trace can be replayed and cut down.
	Record bool
	// Watch, if not nil, is called with the stage before anything happens on it.
	Watch func(*Stage)
}

// Result is what a run came to.
type Result struct {
	Seed      uint64
	Events    int
	Simulated time.Duration
	Grants    int
	Views     int
	Faults    int
	Healed    bool // it was asked to come to rest or to work, and did
	Failures  []Failure
	Stack     string // of a panic
	Hash      uint64 // of all that happened
	Goals     Goals
	Trace     *Trace // if it was recorded
	Checker   *Checker
}

// swarm directs one random run. Each seed draws which fault classes are on and
// how they behave, and what clients do ("swarm testing", Groce et al. 2012): a run
// with everything on finds less than many with a few things each.
type swarm struct {
	*Stage
	r         *rand.Rand // of the director; the network has its own
	keys      []string
	founders  int
	pace      time.Duration // mean time between two calls of a client
	grip      time.Duration // mean time that a lock is held
	patience  time.Duration // mean time that is waited for one
	gap       time.Duration // mean time between two faults
	early     bool          // faults begin before the mesh is founded,
	extra     int           // and so many more nodes than its founders start
	lastStart time.Duration // of those that found
	divided   []string      // two of them that do not hear each other at first
	beyond    bool          // a majority of the voters may be lost
	edge      bool          // all clocks run at the edges of what is allowed, and TTLs are long
	classes   []*class
	plain     bool // clients have no habits
	habits    map[string]bool
	uses      map[string]ownership.Mode // what the capacity of each key is, as a rule
	handle    ownership.Handle
	sets      map[ownership.Handle]*lockedSet // by the handle of each of its calls
	allSets   []*lockedSet
	leases    map[*Node][]*Call // anchors
	awaited   map[*Call]bool    // those of which the grant is held back: nobody gives them up
	lets      bool              // whoever is granted a lock lets go at once,
	clutches  bool              // or not at all
	started   int
	faults    int
	begun     bool // the faults have
	over      bool // the safety phase is
	again     bool // and clients are at it again, in peace
	trap      trap
}

// Play runs one seed: a while under faults, then everything heals and must come
// to rest, or must work with one fault that stays.
func Play(seed uint64, opt Options) (res Result) {
	s := newSwarm(seed, opt)
	ch := s.Checker
	var rec *recorder
	if opt.Record {
		rec = record(s.Stage)
	}
	if opt.Watch != nil {
		opt.Watch(s.Stage)
	}
	defer func() {
		if r := recover(); r != nil {
			ch.fail("panic", nil, "%v", r)
			res.Stack = string(debug.Stack())
		}
		res.Seed, res.Events, res.Simulated, res.Hash = seed, s.Events, s.Now, s.Hash
		res.Grants, res.Views, res.Faults, res.Goals = ch.Grants, ch.Views, s.faults, ch.Goals
		res.Failures, res.Checker = ch.Failures, ch
		if rec != nil {
			res.Trace = rec.trace(s.Stage)
		}
	}()
	s.setUp()
	s.RunUntil(max(s.safetyPhase(), s.lastStart+4*s.Params.MembershipTTL), ch.failed)
	s.over = true
	if !ch.failed() {
		res.Healed = s.mustRest()
	}
	return
}

func (ch *Checker) failed() bool { return len(ch.Failures) > 0 }

func newSwarm(seed uint64, opt Options) *swarm {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	s := &swarm{r: r, sets: map[ownership.Handle]*lockedSet{}, leases: map[*Node][]*Call{}, awaited: map[*Call]bool{}}
	n := 1 + r.IntN(9)
	if r.IntN(2) == 0 {
		n = 2 + r.IntN(4) // the sizes that people run
	}
	ttl := pick(r, 200*time.Millisecond, 500*time.Millisecond, time.Second, 2*time.Second, 2*time.Second, 4*time.Second)
	p := ownership.Params{
		Partitions:    1 + r.IntN(pick(r, 1, 2, 8)),
		Replicas:      1 + r.IntN(min(7, n)),
		MembershipTTL: ttl,
		MaxTTL:        max(200*time.Millisecond, ttl*time.Duration(pick(r, 2, 4, 12, 40))/4),
		DriftPPM:      pick(r, 1_000, 10_000, 50_000, 200_000),
	}
	if r.IntN(2) == 0 {
		p.Replicas = min(3, n)
	}
	if s.edge = r.IntN(8) == 0; s.edge {
		p.DriftPPM, p.MaxTTL, p.Replicas = 200_000, max(p.MaxTTL, 6*ttl), 1+r.IntN(min(3, n))
	}
	s.Stage = NewStage(seed, p)
	s.founders = n
	keys := pick(r, 1, 1, 2, 4, 30)
	for i := range keys {
		s.keys = append(s.keys, fmt.Sprintf("k%d", i))
	}
	s.pace = max(2*time.Millisecond, pick(r, ttl/40, ttl/10, ttl/2))
	s.grip = pick(r, s.pace/10, s.pace/2, 2*s.pace, p.MaxTTL)
	s.patience = pick(r, 4*s.pace, 20*s.pace, 2*ttl)
	s.gap = pick(r, ttl/4, ttl, 3*ttl)
	s.early = r.IntN(5) == 0
	s.beyond = r.IntN(10) == 0
	if s.early && r.IntN(2) == 0 {
		s.extra = r.IntN(seats(n)/2 + 1) // fewer than n + a majority of the first voters may be founding at once
	}
	s.drawHabits(opt.Habits)
	s.drawNet()
	s.drawClasses(opt.Faults)
	return s
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (s *swarm) drawNet() {
	r, net, ttl := s.r, &s.Net, s.Params.MembershipTTL
	net.MeanDelay = pick(r, 300*time.Microsecond, 300*time.Microsecond, ttl/200, ttl/40, ttl/8)
	net.RosterDelay = pick(r, 0, ttl/4, 2*ttl)
	s.Wall += int64(r.IntN(1000))
}

// setUp starts the founders.
func (s *swarm) setUp() {
	fresh := s.r.IntN(4) != 0
	spread := pick(s.r, 0, 0, 100*time.Millisecond, 3*time.Second, 10*time.Second)
	if s.early && s.extra > 0 && s.r.IntN(2) == 0 {
		spread = 10 * time.Second
	}
	n := s.founders
	race := s.early && n >= 3 && s.r.IntN(3) == 0 // two of them may get enough
	if race {
		s.extra = max(1, s.extra)
	}
	if s.on("growth") {
		n, s.extra = 1, 0
	}
	for range n + s.extra {
		at := time.Duration(s.r.Float64() * float64(spread))
		s.lastStart = max(s.lastStart, at)
		s.After(at, func() { s.startNode(n, fresh) })
	}
	s.Checker.heard = s.heard
	if s.trap.kinds != 0 {
		s.setTrap()
	}
	if s.early {
		s.begin()
		s.foundBadly(n+s.extra, race)
	} else {
		s.awaitView(10)
	}
}

// foundBadly disturbs founding: the two nodes that would found first do not hear each
// other, or one of those that have said that they are free dies.
func (s *swarm) foundBadly(starts int, race bool) {
	how := s.r.IntN(3)
	if race {
		how = 0
	}
	switch how {
	case 0:
		var names []string
		for i := range starts {
			names = append(names, fmt.Sprintf("n%d", i+1))
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(s.idOf(a, 1), s.idOf(b, 1)) })
		if starts > 1 {
			s.divided = names[:2]
		}
	case 1:
		s.After(s.exp(time.Second), func() {
			if n := s.target(); n != nil && s.Checker.chain == nil && len(s.up()) > 1 {
				s.Do(Action{Verb: Crash, Node: n.Name})
			}
		})
	}
}

// divide cuts the two apart as soon as both run.
func (s *swarm) divide() {
	if s.divided == nil {
		return
	}
	a, b := s.Node(s.divided[0]), s.Node(s.divided[1])
	if a != nil && b != nil && !s.over {
		s.divided = nil
		s.cutFor(a, b, s.Params.MembershipTTL+s.while(), false)
	}
}

// begin lets the faults begin.
func (s *swarm) begin() {
	s.begun = true
	for _, c := range s.classes {
		s.plan(c)
	}
}

// awaitView begins when the mesh is founded, or has had its time.
func (s *swarm) awaitView(tries int) {
	if s.Checker.chain != nil || tries == 0 {
		s.begin()
		return
	}
	s.After(s.Params.MembershipTTL/2, func() { s.awaitView(tries - 1) })
}

// startNode starts a node and its client. Rates lie at the ends of what is
// allowed as often as not: that is where margins show.
func (s *swarm) startNode(founders int, fresh bool) {
	if s.started >= 40 {
		return
	}
	s.started++
	bound := s.Params.DriftPPM * 99 / 100
	rate := pick(s.r, -bound, bound, 0, s.r.IntN(2*bound+1)-bound)
	if s.edge {
		rate = pick(s.r, -bound, bound)
	}
	name := fmt.Sprintf("n%d", s.started)
	late := time.Duration(0)
	if s.r.IntN(2) == 0 {
		late = time.Duration(s.r.Int64N(int64(s.Net.RosterDelay) + 1))
	}
	s.Do(Action{Verb: Start, Late: late, Node: name, N: founders, Fresh: fresh, For: time.Duration(s.r.Int64N(int64(time.Hour))).Truncate(time.Second), Rate: rate})
	n := s.Node(name)
	s.divide()
	s.After(s.exp(s.pace), func() { s.act(n) })
}

// joiner is the number of founders that a node waits for which should only join.
const joiner = 50

// join starts a node for a mesh that exists. It needs more founders than there
// ever are: a joiner that hears nobody must not found a second mesh (fewer than
// Founders + a majority of the first voters may be founding at once).
func (s *swarm) join() {
	if len(s.up()) < 9 && !s.over {
		s.startNode(joiner, false)
	}
}

func (s *swarm) exp(mean time.Duration) time.Duration {
	return time.Duration(s.r.ExpFloat64() * float64(mean))
}

func (s *swarm) safetyPhase() time.Duration {
	d := s.Params.MembershipTTL * time.Duration(6+s.r.IntN(25))
	if s.on("exile") {
		d *= 2
	}
	return min(max(d, 4*time.Second), 60*time.Second)
}

func (s *swarm) up() []*Node {
	var up []*Node
	for _, n := range s.Nodes {
		if !n.Crashed {
			up = append(up, n)
		}
	}
	return up
}
