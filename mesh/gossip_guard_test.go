package mesh

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// fields is a msgpack map of one text, which is what checkMessage asks of one.
const fields = "\x81\xa4Node\xa1a"

func compound(parts ...string) string {
	b := []byte{kindCompound, byte(len(parts))}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	}
	return string(b) + strings.Join(parts, "")
}

const ping, alive = "\x00" + fields, "\x04" + fields

var packets = map[string]struct {
	b  string
	ok bool
}{
	"ping":                {ping, true},
	"indirect ping":       {"\x01" + fields, true},
	"ack":                 {"\x02" + fields, true},
	"suspect":             {"\x03" + fields, true},
	"alive":               {alive, true},
	"dead":                {"\x05" + fields, true},
	"nack":                {"\x0b" + fields, true},
	"compound":            {compound(ping, alive, alive), true},
	"with a sum":          {"\x0cabcd" + ping, true},
	"compound with a sum": {"\x0cabcd" + compound(ping, alive), true},
	"all types":           {"\x00\x89\xa1a\xc0\xa1b\xcd\x01\x02\xa1c\xd3\x00\x00\x00\x00\x00\x00\x00\x00\xa1d\xc4\x02xx\xa1e\xda\x00\x01x\xa1f\xdc\x00\x02\x01\x02\xa1g\x92\x01\xff\xa1h\xdf\x00\x00\x00\x00\xa1i\xc3", true},

	"nothing":                 {"", false},
	"no fields":               {"\x00", false},
	"state":                   {"\x06" + fields, false},
	"user":                    {"\x08" + fields, false},
	"compressed":              {"\x09" + fields, false},
	"encrypted":               {"\x0a" + fields, false},
	"error":                   {"\x0d" + fields, false},
	"unknown":                 {"\x0e" + fields, false},
	"label":                   {"\xf4\x01a" + ping, false},
	"compressed, in compound": {compound(ping, "\x09"+fields), false},
	"compressed, with a sum":  {"\x0cabcd\x09" + fields, false},
	"compressed, deep":        {"\x0cabcd" + compound(ping, "\x09"+fields), false},
	"compound in compound":    {compound(compound(ping)), false},
	"sum in compound":         {compound("\x0cabcd" + ping), false},
	"sum of a sum":            {"\x0cabcd\x0cabcd" + ping, false},
	"sum of nothing":          {"\x0cabcd", false},
	"empty part":              {compound(ping, ""), false},
	"compound, cut off":       {compound(ping, alive)[:20], false},
	"compound of nothing":     {"\x07", false},
	"compound of 255":         {"\x07\xff", false},
	"array":                   {"\x00\x92\x01\x02", false},
	"number":                  {"\x00\x05", false},
	"two maps":                {ping + fields, false},
	"text of 4 GB":            {"\x00\x81\xa4Node\xdb\xff\xff\xff\xffabc", false},
	"text of 64 KB":           {"\x00\x81\xa4Node\xda\xff\xffabc", false},
	"bytes of 4 GB":           {"\x00\x81\xa4Node\xc6\xff\xff\xff\xffabc", false},
	"array of 4 G":            {"\x00\x81\xa4Node\xdd\xff\xff\xff\xff\x00", false},
	"map of 4 G":              {"\x00\xdf\xff\xff\xff\xff\xa4Node\xa1a", false},
	"extension":               {"\x00\x81\xa4Node\xc9\xff\xff\xff\xff\x01", false},
	"cut off in a length":     {"\x00\x81\xa4Node\xda\xff", false},
	"large":                   {"\x00\x81\xa4Node\xda\x08\x00" + strings.Repeat("x", 2048), false},
}

// Of packets only what our nodes send reaches memberlist.
func TestGuardPackets(t *testing.T) {
	for name, p := range packets {
		if err := checkPacket([]byte(p.b)); (err == nil) != p.ok || err != nil && !errors.Is(err, errForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzGuardPacket(f *testing.F) {
	for _, p := range packets {
		f.Add([]byte(p.b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkPacket(b) != nil {
			return
		}
		if len(b) > maxPacket || b[0] > kindCRC || b[0] == 8 || b[0] == 9 || b[0] == 10 || b[0] == kindPushPull {
			t.Fatalf("%x passes", b)
		}
	})
}

// header is that of an exchange of states.
func header(nodes, userState string) string {
	return "\x06\x83\xa5Nodes" + nodes + "\xacUserStateLen" + userState + "\xa4Join\xc3"
}

const million = "\xce\x00\x10\x00\x00"

var heads = map[string]struct {
	b        string
	accepted bool   // whether the stream was
	head     string // "" if it is refused
	rest     int
}{
	"state":                  {header("\x05", "\x00"), true, header("\xcd\x00\x05", "\x00"), 5 * maxEntry},
	"answered state":         {header("\xd1\x01\x00", "\x00"), false, header("\xcd\x01\x00", "\x00"), 256 * maxEntry},
	"a full fleet":           {header("\xcd\x08\x00", "\x00"), true, header("\xcd\x08\x00", "\x00"), maxStates * maxEntry},
	"wide numbers":           {header("\xcf\x00\x00\x00\x00\x00\x00\x00\x01", "\xd3\x00\x00\x00\x00\x00\x00\x00\x00"), true, header("\xcd\x00\x01", "\x00"), maxEntry},
	"ping":                   {"\x00", true, "\x00", maxAnswer},
	"ack":                    {"\x02", false, "\x02", maxAnswer},
	"error":                  {"\x0d", false, "\x0d", maxAnswer},
	"said twice":             {"\x06\x82\xa5Nodes\x01\xa5Nodes\x02", true, "\x06\x83\xa5Nodes\xcd\x00\x02\xacUserStateLen\x00\xa4Join\xc2", 2 * maxEntry},
	"a million nodes":        {header(million, "\x00"), true, "", 0},
	"answered million":       {header(million, "\x00"), false, "", 0},
	"one too many":           {header("\xcd\x08\x01", "\x00"), true, "", 0},
	"less than none":         {header("\xff", "\x00"), true, "", 0},
	"less than none, wide":   {header("\xd0\xff", "\x00"), true, "", 0},
	"user state":             {header("\x05", million), true, "", 0},
	"a number as text":       {header("\xa15", "\x00"), true, "", 0},
	"no map":                 {"\x06\x93\x05\x00\xc3", true, "", 0},
	"a large map":            {"\x06\xdf\xff\xff\xff\xff", true, "", 0},
	"another field":          {"\x06\x81\xa5nodes\x05", true, "", 0},
	"a key of 4 GB":          {"\x06\x81\xdb\xff\xff\xff\xff", true, "", 0},
	"a long key":             {"\x06\x81\xad0123456789012\x00", true, "", 0},
	"user":                   {"\x08\x81\xaaUserMsgLen" + million, true, "", 0},
	"compressed":             {"\x09" + fields, true, "", 0},
	"answered compressed":    {"\x09" + fields, false, "", 0},
	"encrypted":              {"\x0a\xff\xff\xff\xff", true, "", 0},
	"label":                  {"\xf4\x01a", true, "", 0},
	"a browser":              {"GET / HTTP/1.1", true, "", 0},
	"answer to no question":  {"\x02", true, "", 0},
	"error without question": {"\x0d", true, "", 0},
	"question as an answer":  {"\x00", false, "", 0},
}

// Of streams only what our nodes send reaches memberlist, with a header that was
// checked.
func TestGuardStreams(t *testing.T) {
	for name, s := range heads {
		r := bufio.NewReaderSize(strings.NewReader(s.b+"after"), 64)
		head, rest, err := readHead(r, s.accepted)
		if s.head == "" {
			if !errors.Is(err, errForeign) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		after, _ := io.ReadAll(r)
		if err != nil || string(head) != s.head || rest != s.rest || string(after) != "after" {
			t.Errorf("%s: %q, %d, %v, then %q", name, head, rest, err, after)
		}
		for n := range s.b {
			if _, _, err := readHead(bufio.NewReader(strings.NewReader(s.b[:n])), s.accepted); err == nil || errors.Is(err, errForeign) {
				t.Errorf("%s: %d of %d bytes: %v", name, n, len(s.b), err)
			}
		}
	}
}

func FuzzGuardStream(f *testing.F) {
	for _, s := range heads {
		f.Add([]byte(s.b), s.accepted)
	}
	f.Fuzz(func(t *testing.T, b []byte, accepted bool) {
		head, rest, err := readHead(bufio.NewReader(bytes.NewReader(b)), accepted)
		if err != nil {
			return
		}
		again, most, err := readHead(bufio.NewReader(bytes.NewReader(head)), accepted)
		if err != nil || !bytes.Equal(head, again) || rest != most || rest > maxStates*maxEntry {
			t.Fatalf("%x becomes %x, %d, then %x, %d, %v", b, head, rest, again, most, err)
		}
	})
}

// fakePort is a port without sockets.
type fakePort struct {
	packets chan transport.Packet
	streams chan net.Conn
	dialled net.Conn
}

func (p *fakePort) Addr() *net.TCPAddr                                 { return nil }
func (p *fakePort) WritePacket([]byte, string) (time.Time, error)      { return time.Time{}, nil }
func (p *fakePort) Packets() <-chan transport.Packet                   { return p.packets }
func (p *fakePort) Streams() <-chan net.Conn                           { return p.streams }
func (p *fakePort) DialStream(string, time.Duration) (net.Conn, error) { return p.dialled, nil }

func startDoor(t *testing.T) (*fakePort, *gossipDoor, *logBook) {
	port := &fakePort{packets: make(chan transport.Packet), streams: make(chan net.Conn)}
	book := newLogBook(t)
	d := newGossipDoor(port, netip.AddrPort{}, book.logger())
	t.Cleanup(func() { d.Shutdown() })
	return port, d, book
}

// The door drops foreign packets and says so, once.
func TestDoorPackets(t *testing.T) {
	port, d, book := startDoor(t)
	go func() {
		for i := range 101 {
			b := "\x09" + fields
			if i == 100 {
				b = ping
			}
			select {
			case port.packets <- transport.Packet{Data: []byte(b), From: &net.UDPAddr{}}:
			case <-t.Context().Done():
			}
		}
	}()
	if p := <-d.PacketCh(); string(p.Buf) != ping {
		t.Errorf("%q passes", p.Buf)
	}
	if len(book.lines) != 1 || !book.has("kind 9 in a packet") {
		t.Error(book.lines)
	}
}

// A dialled node's answer is checked as what strangers say is.
func TestDoorDials(t *testing.T) {
	port, d, book := startDoor(t)
	for _, answer := range []string{header(million, "\x00"), "\x09" + fields} {
		var far net.Conn
		port.dialled, far = net.Pipe()
		go io.WriteString(far, answer)
		near, err := d.DialTimeout("a:1", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if n, err := near.Read(make([]byte, 100)); n > 0 || !errors.Is(err, errForeign) {
				t.Error(n, err)
			}
		}
		near.Close()
		far.Close()
	}
	if !book.has("refused gossip") {
		t.Error(book.lines)
	}
	if len(d.conns) != 0 {
		t.Error("closed streams are kept")
	}
}

// A stream ends after as many bytes as its header allows, and after its time.
func TestDoorBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port, d, _ := startDoor(t)
		open := func() (near, far net.Conn) {
			near, far = net.Pipe()
			port.streams <- far
			return near, <-d.StreamCh()
		}
		near, far := open()
		go func() {
			io.WriteString(near, header("\x03", "\x00"))
			near.Write(make([]byte, 4*maxEntry))
		}()
		if b, err := io.ReadAll(far); err != nil || len(b) != len(header("\xcd\x00\x03", "\x00"))+3*maxEntry {
			t.Error(len(b), err)
		}
		far.Close()

		near, far = open()
		begin := time.Now()
		for range 100 { // a little each time, and a new deadline as memberlist sets it
			far.SetDeadline(time.Now().Add(dialFor))
			go near.Write([]byte("\x00"))
			if _, err := far.Read(make([]byte, 1)); err != nil {
				break
			}
			<-time.After(time.Second)
		}
		if life := time.Since(begin); life != streamFor {
			t.Errorf("the stream lives for %v", life)
		}
		near.Close()
	})
}

// Streams that say nothing do not keep out those that come after them, and no
// more than maxStreams are open.
func TestDoorStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port, d, _ := startDoor(t)
		var far []net.Conn
		open := func() {
			near, other := net.Pipe()
			t.Cleanup(func() { near.Close(); other.Close() })
			port.streams <- other
			far = append(far, <-d.StreamCh())
		}
		begin := time.Now()
		for range maxStreams {
			open()
			<-time.After(time.Millisecond)
		}
		if time.Since(begin) != maxStreams*time.Millisecond {
			t.Error("there was room")
		}
		open() // waits until the first had its time
		if d := time.Since(begin); d != streamGrace {
			t.Errorf("waited %v", d)
		}
		if _, err := far[0].Write(nil); !errors.Is(err, io.ErrClosedPipe) {
			t.Error("the oldest is still open")
		}
		<-time.After(maxStreams * time.Millisecond)
		begin = time.Now()
		for range maxStreams - 1 {
			open()
		}
		if time.Since(begin) != 0 {
			t.Error("the old ones were not closed at once")
		}
		go func() {
			<-time.After(time.Millisecond)
			far[len(far)-5].Close()
		}()
		open() // waits for one that ends by itself
		if d := time.Since(begin); d != time.Millisecond {
			t.Errorf("waited %v", d)
		}
		if len(d.conns) != maxStreams {
			t.Errorf("%d are open", len(d.conns))
		}
		near, other := net.Pipe()
		defer near.Close()
		port.streams <- other
		synctest.Wait()
		d.Shutdown() // while one waits for room
		if _, err := other.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
			t.Error("a stream outlives the door")
		}
	})
}

// memberlist's list takes nodes that look like ours, and no more than a fleet
// has; the dead make room in time.
func TestJudge(t *testing.T) {
	h := &gossipHooks{
		g:     &gossip{cfg: gossipConfig{cluster: "c"}, news: map[string]gossipNews{}, wake: make(chan struct{}, 1)},
		names: map[string]time.Time{},
	}
	node := func(id int) *memberlist.Node {
		m := meta{"c", ownership.Member{ID: ownership.NodeID(id), Name: "n", Addr: "10.0.0.1:1"}}
		return &memberlist.Node{Name: "n#" + hexID(ownership.NodeID(id)), Addr: net.IP{10, 0, 0, 1}, Meta: m.encode()}
	}
	if err := h.judge(node(1)); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*memberlist.Node){
		"cluster": func(n *memberlist.Node) { n.Meta = meta{"d", ownership.Member{ID: 1, Addr: "10.0.0.1:1"}}.encode() },
		"meta":    func(n *memberlist.Node) { n.Meta = append(n.Meta, make([]byte, maxMeta)...) },
		"name":    func(n *memberlist.Node) { n.Name = strings.Repeat("n", 200) },
		"address": func(n *memberlist.Node) { n.Addr = make([]byte, 100) },
	} {
		n := node(1)
		change(n)
		if h.judge(n) == nil {
			t.Errorf("a node with an odd %s passes", what)
		}
	}
	for id := 1; id <= maxRoster; id++ {
		if err := h.judge(node(id)); err != nil {
			t.Fatal(err)
		}
		h.NotifyJoin(node(id))
	}
	late := node(maxRoster + 1)
	if h.judge(late) == nil || h.judge(node(1)) != nil {
		t.Error("the list has no limit, or one for those it has")
	}
	h.NotifyLeave(node(7))
	if h.judge(late) == nil {
		t.Error("memberlist still keeps the dead one")
	}
	if !h.room(late.Name, time.Now().Add(time.Hour)) {
		t.Error("the dead make no room")
	}
}

// What the review's hostile programs send costs next to nothing, and gossip goes
// on.
func TestHostileGossip(t *testing.T) {
	noLeaks(t)
	addrs := freePorts(t, 2)
	a := startTestGossip(t, 1, addrs[0], nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	udp, err := net.Dial("udp", addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for range 20 {
		for _, hostile := range []string{header(million, "\x00"), header("\x00", million), "\x08\x81\xaaUserMsgLen" + million} {
			tcp, err := net.Dial("tcp", addrs[0])
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(tcp, hostile)
			tcp.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, tcp) // until it is closed
			tcp.Close()
		}
		io.WriteString(udp, compound(strings.Split(strings.Repeat("\x04\x81\xa4Node\xdb\xff\xff\xff\xff.", 100), ".")[:100]...))
	}
	b := startTestGossip(t, 2, addrs[1], addrs)
	for _, h := range []*heardBook{a, b} {
		h.await(t, func(alive map[ownership.NodeID]bool) bool { return alive[1] || alive[2] })
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 32 {
		t.Errorf("%d MB were allocated", n)
	}
}
