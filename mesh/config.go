package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/lockmesh/lockmesh/ownership"
)

// Config says what a node is and where it finds its mesh. The zero value is a
// mesh of one node at port 7946. Join copies it and never writes to it.
type Config struct {
	// Name is for people: it appears in errors, logs and View. It should be
	// unique in the fleet; nothing exact rests on that. At most 128 bytes.
	// Default: the host's name and a random suffix.
	Name string

	// Bind is the host:port for everything: gossip (TCP and UDP) and lock
	// traffic (TCP). Port 0 picks a free one. Default: ":7946".
	Bind string

	// Advertise is the host:port that others dial, when it differs from Bind.
	// Its port may be left out or 0: that of Bind. With a Bind to all addresses
	// and no Advertise the host's one private address is taken (and logged);
	// if there are several or only public ones, Join does not guess.
	Advertise string

	// Seeds are the host:port of any nodes of the mesh. The node's own address
	// and dead ones are fine: give every node the same list. A name stands for
	// all its addresses and is looked up again and again, so that nodes which
	// lost each other meet again.
	Seeds []string

	// Discover is asked for seeds instead of Seeds, again and again, with a ctx
	// of ten seconds that also ends with the node; it must return soon after.
	Discover func(context.Context) ([]string, error)

	// Founders is how many nodes must meet before the first view is formed:
	// the size of the fleet at its first start. It is required with Seeds or
	// Discover and then at least 2, since two nodes that could each found
	// alone would found two meshes. Without them it is 1 (or 0, which means
	// 1): a mesh of one node that others may join. At most 1024.
	Founders int

	// Fresh says that nothing of this cluster ran within the last MaxTTL:
	// first deployments, examples, tests. A newly founded mesh cannot know of
	// holders of a mesh before it, so without Fresh it waits MembershipTTL +
	// MaxTTL before it grants: calls wait, and Health and a log line say so.
	// The wait is left out only if all founders are Fresh. It has no effect on
	// a node that joins a mesh which exists.
	Fresh bool

	// Cluster keeps fleets apart: a node with another cluster name is refused.
	// At most 64 bytes. Default: "lockmesh".
	Cluster string

	// Zone names what fails together: a rack, a data centre. Replicas of one
	// partition are spread over zones. At most 64 bytes. The empty zone is one
	// like any other.
	Zone string

	// Params are the fleet's constants.
	Params Params

	// Logger takes the node's log. Records are handed to it from one goroutine
	// of the node; while it blocks they are dropped and counted, and the node
	// goes on. Default: slog.Default().
	Logger *slog.Logger

	// Env is what a node gets from outside; nil is the real world.
	Env *Env
}

// Params are the fleet's constants, agreed when the mesh is founded: a node
// that is configured otherwise is refused by Join. A field that is 0 stands for
// its default.
type Params struct {
	// Partitions is the number of slices of the key space, 1 to 4096. Default: 271.
	Partitions int

	// Replicas is how many nodes hold the state of one partition, 1 to 7: with
	// 3, one may crash at a time without a wait. Default: 3.
	Replicas int

	// MaxTTL bounds the TTL of every lease, and with it how long locks wait
	// when the state of a partition is lost: 1ms to 24h. Default: 1 minute.
	MaxTTL time.Duration

	// MembershipTTL is how long a node may serve after it was last heard by a
	// majority of the voters: 50ms to 1h. A crash is healed after about this
	// long. Default: 2 seconds.
	MembershipTTL time.Duration

	// ClockDrift bounds how far the rate of a node's clock is off: 0.01 is one
	// percent, far more than working hardware shows. At most 0.2; a negative
	// one is refused. Default: 0.01.
	ClockDrift float64
}

func (p Params) withDefaults() Params {
	if p.Partitions == 0 {
		p.Partitions = 271
	}
	if p.Replicas == 0 {
		p.Replicas = 3
	}
	if p.MaxTTL == 0 {
		p.MaxTTL = time.Minute
	}
	if p.MembershipTTL == 0 {
		p.MembershipTTL = 2 * time.Second
	}
	if p.ClockDrift == 0 {
		p.ClockDrift = 0.01
	}
	return p
}

// String lists the parameters by name.
func (p Params) String() string {
	return fmt.Sprintf("Partitions %d, Replicas %d, MaxTTL %v, MembershipTTL %v, ClockDrift %v",
		p.Partitions, p.Replicas, p.MaxTTL, p.MembershipTTL, p.ClockDrift)
}

func (p Params) core() ownership.Params {
	return ownership.Params{
		Partitions:    p.Partitions,
		Replicas:      p.Replicas,
		MaxTTL:        p.MaxTTL,
		MembershipTTL: p.MembershipTTL,
		DriftPPM:      int(math.Round(p.ClockDrift * 1e6)),
	}
}

// Limits that keep what a node says of itself in the 512 bytes that gossip
// carries.
const (
	maxNameBytes    = 128
	maxClusterBytes = 64
	maxZoneBytes    = 64
	maxFounders     = ownership.MaxMembers
)

// withDefaults returns a copy of c in which nothing is left out, or an error
// that lists everything that is wrong with it and says what to write instead.
func (c Config) withDefaults() (Config, error) {
	c.Seeds = slices.Clone(c.Seeds)
	env := c.Env.withDefaults()
	c.Env = &env
	c.Params = c.Params.withDefaults()
	if c.Bind == "" {
		c.Bind = ":7946"
	}
	if c.Cluster == "" {
		c.Cluster = "lockmesh"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Name == "" {
		c.Name = defaultName(env.Rand())
	}
	whats := c.problems()
	if c.Founders == 0 {
		c.Founders = 1
	}
	if len(whats) > 0 {
		return c, invalid(whats...)
	}
	return c, nil
}

func (c *Config) problems() []string {
	var whats []string
	wrong := func(format string, args ...any) { whats = append(whats, fmt.Sprintf(format, args...)) }

	for _, f := range []struct {
		name, value string
		limit       int
	}{{"Name", c.Name, maxNameBytes}, {"Cluster", c.Cluster, maxClusterBytes}, {"Zone", c.Zone, maxZoneBytes}} {
		if len(f.value) > f.limit {
			wrong("%s has %d bytes; at most %d fit", f.name, len(f.value), f.limit)
		}
		if !utf8.ValidString(f.value) {
			wrong("%s is not valid UTF-8", f.name)
		}
	}
	if c.Env.Network == nil {
		if err := checkHostPort(c.Bind, true); err != nil {
			wrong("Bind %q: %v; write host:port, as in %q or %q", c.Bind, err, ":7946", "10.0.0.1:7946")
		}
		if c.Advertise != "" {
			if _, _, err := splitAdvertise(c.Advertise); err != nil {
				wrong("Advertise %q: %v; write the host:port that other nodes dial, as in %q", c.Advertise, err, "10.0.0.1:7946")
			}
		}
		for _, s := range c.Seeds {
			if err := checkHostPort(s, false); err != nil {
				wrong("seed %q: %v; write host:port, as in %q", s, err, "node-1:7946")
			}
		}
	}
	if len(c.Seeds) > 0 && c.Discover != nil {
		wrong("both Seeds and Discover are set; leave one of them out")
	}
	switch {
	case c.Founders < 0 || c.Founders > maxFounders:
		wrong("Founders is %d; use the size of the fleet at its first start, at most %d", c.Founders, maxFounders)
	case (len(c.Seeds) > 0 || c.Discover != nil) && c.Founders < 2:
		wrong("Founders is %d with Seeds or Discover; set it to the size of the fleet at its first start, at least 2, on every node: two nodes that could each found alone would found two meshes", c.Founders)
	case len(c.Seeds) == 0 && c.Discover == nil && c.Founders > 1:
		wrong("Founders is %d without Seeds or Discover; set Seeds to the host:port of some nodes, or leave Founders out for a mesh of one", c.Founders)
	}
	for _, p := range []Params{ // one by one: Validate stops at the first that is wrong
		{Partitions: c.Params.Partitions},
		{Replicas: c.Params.Replicas},
		{MaxTTL: c.Params.MaxTTL},
		{MembershipTTL: c.Params.MembershipTTL},
	} {
		if err := p.withDefaults().core().Validate(); err != nil {
			wrong("Params: %v", err)
		}
	}
	if d := c.Params.ClockDrift; math.IsNaN(d) || d < 0 || d > 0.2 {
		wrong("Params.ClockDrift is %v; use 0.01 (1 %%), or up to 0.2", d)
	}
	return whats
}

// defaultName is the host's name with a suffix that keeps the nodes of one host
// apart.
func defaultName(random uint64) string {
	host, err := os.Hostname()
	if err != nil || host == "" || !utf8.ValidString(host) {
		host = "node"
	}
	if len(host) > maxNameBytes-5 {
		host = host[:maxNameBytes-5]
	}
	return fmt.Sprintf("%s-%04x", host, random&0xffff)
}

// checkHostPort checks the form of host:port. A bind may leave out the host and
// have port 0.
func checkHostPort(s string, bind bool) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return formError(err)
	}
	if host == "" && !bind {
		return fmt.Errorf("the host is missing")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case port == "":
		return fmt.Errorf("the port is missing")
	case err != nil:
		return fmt.Errorf("port %q is not a number from 0 to 65535", port)
	case n == 0 && !bind:
		return fmt.Errorf("port 0 cannot be dialled")
	}
	return nil
}

// formError keeps of a net.AddrError what is wrong and leaves out the address,
// which the caller quotes.
func formError(err error) error {
	if a, ok := err.(*net.AddrError); ok {
		return fmt.Errorf("%s", a.Err)
	}
	return err
}
