package transport

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// everyKind has one message of each type. TestEveryKind holds it complete.
var everyKind = []ownership.Message{
	ownership.Contact{}, ownership.Found{}, ownership.FoundAck{}, ownership.Join{},
	ownership.Refused{}, ownership.Prepare{}, ownership.Promise{}, ownership.Propose{},
	ownership.Accepted{}, ownership.Decided{}, ownership.DecidedAck{}, ownership.AskView{},
	ownership.Renew{}, ownership.RenewAck{}, ownership.Accept{}, ownership.AcceptAck{},
	ownership.Confirm{}, ownership.ConfirmAck{}, ownership.Seal{}, ownership.SealAck{},
	ownership.Install{}, ownership.Settled{}, ownership.SettledAck{}, ownership.Stuck{},
	ownership.Acquire{}, ownership.Release{}, ownership.Answer{}, ownership.Heartbeat{},
	ownership.HeartbeatAck{}, ownership.Alter{}, ownership.Query{}, ownership.Report{},
	ownership.Revoke{}, ownership.Notice{},
}

// newMessage makes a random message of the kind of m that may be sent.
func newMessage(r *rand.Rand, m ownership.Message) ownership.Message {
	v := reflect.New(reflect.TypeOf(m))
	fill(r, v.Elem())
	return v.Elem().Interface().(ownership.Message)
}

// fill sets every field that there is, so that one which the codec forgets shows.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Addr().Interface().(type) {
	case **ownership.View:
		v.Set(reflect.ValueOf(newView(r)))
		return
	case *time.Duration:
		v.SetInt(1 + r.Int64N(int64(maxDuration)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
		consistent(r, v.Addr().Interface())
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 3))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString(strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(40)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(1 + r.Int64N(1<<15))
	case reflect.Int64:
		v.SetInt(1 + r.Int64()>>r.IntN(63))
		if r.IntN(4) == 0 {
			v.SetInt(-v.Int())
		}
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + r.Uint64()>>(64-v.Type().Bits()+r.IntN(v.Type().Bits()))>>1)
	default:
		panic(fmt.Sprintf("fill: add %v", v.Type()))
	}
}

// consistent mends what random fields break.
func consistent(r *rand.Rand, p any) {
	switch p := p.(type) {
	case *ownership.Write:
		if p.Record.Key = p.Key; r.IntN(3) == 0 {
			p.Record = nil
		}
	case *ownership.SealAck:
		p.Chunks = p.Chunk + 1
	case *ownership.Install:
		p.Chunks = p.Chunk + 1
	case *ownership.Mode:
		p.Of = 1 + p.Of%ownership.Whole
		p.Weight = 1 + p.Weight%p.Of
	}
}

// newView makes a random view that is valid.
func newView(r *rand.Rand) *ownership.View {
	v := &ownership.View{
		Mesh:  ownership.MeshID(1 + r.Uint64N(1<<62)),
		Epoch: ownership.Epoch(1000 + r.Uint32N(1<<30)),
		Params: ownership.Params{
			Partitions: 1 + r.IntN(5), Replicas: 3, MaxTTL: time.Minute, MembershipTTL: 2 * time.Second, DriftPPM: 10000,
		},
	}
	for range 3 + r.IntN(4) {
		var m ownership.Member
		fill(r, reflect.ValueOf(&m).Elem())
		m.ID = ownership.NodeID(r.Uint64() | 1)
		v.Members = append(v.Members, m)
	}
	ids := func(n int) (list []ownership.NodeID) {
		for _, i := range r.Perm(len(v.Members))[:n] {
			list = append(list, v.Members[i].ID)
		}
		return list
	}
	v.Voters = ids(3)
	for range v.Params.Partitions {
		v.Groups = append(v.Groups, ownership.Group{
			Term: 100, Replicas: ids(3),
			Prior: []ownership.Configuration{{}, {Term: 7, Replicas: ids(2)}},
		})
	}
	v.Apart = []ownership.Apart{{Partition: 0, Owner: 5, Silent: 6}}
	if err := v.Validate(); err != nil {
		panic(err)
	}
	return v
}
