package mesh

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestAdvertised(t *testing.T) {
	ips := func(list ...string) func() ([]netip.Addr, error) {
		return func() (addrs []netip.Addr, err error) {
			for _, s := range list {
				addrs = append(addrs, netip.MustParseAddr(s))
			}
			return addrs, nil
		}
	}
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "one":
			return ips("10.1.2.3")()
		case "both":
			return ips("fd00::5", "10.1.2.3")()
		case "two":
			return ips("10.1.2.3", "10.1.2.4")()
		}
		return nil, errors.New("no such host")
	}
	any4 := "0.0.0.0:7946"
	for name, c := range map[string]struct {
		advertise, bound string
		hosts            func() ([]netip.Addr, error)
		want, err        string
	}{
		"bound":            {"", "10.0.0.1:7946", nil, "10.0.0.1:7946", ""},
		"one private":      {"", any4, ips("127.0.0.1", "::1", "10.0.0.1", "fe80::1", "fd00::1"), "10.0.0.1:7946", ""},
		"private first":    {"", any4, ips("8.8.8.8", "192.168.1.1", "2001:db8::1"), "192.168.1.1:7946", ""},
		"any IPv6":         {"", "[::]:9", ips("127.0.0.1", "10.0.0.1"), "10.0.0.1:9", ""},
		"private IPv6":     {"", "[::]:9", ips("::1", "fd00::1"), "[fd00::1]:9", ""},
		"only loopback":    {"", any4, ips("::1", "127.0.0.1"), "127.0.0.1:7946", ""},
		"several private":  {"", any4, ips("10.0.0.1", "172.17.0.1"), "", "several private ones, [10.0.0.1 172.17.0.1]; set Advertise"},
		"several IPv6":     {"", any4, ips("fd00::1", "fd00::2"), "", "several private ones"},
		"public":           {"", any4, ips("127.0.0.1", "8.8.8.8"), "", "only public ones, [8.8.8.8]; set Advertise"},
		"nothing":          {"", any4, ips(), "", "set Advertise"},
		"unreadable":       {"", any4, func() ([]netip.Addr, error) { return nil, errors.New("denied") }, "", "denied"},
		"advertise":        {"1.2.3.4:5", any4, nil, "1.2.3.4:5", ""},
		"port of bind":     {"1.2.3.4", any4, nil, "1.2.3.4:7946", ""},
		"port 0":           {"1.2.3.4:0", any4, nil, "1.2.3.4:7946", ""},
		"bare IPv6":        {"fd00::1", any4, nil, "[fd00::1]:7946", ""},
		"name":             {"one:5", any4, nil, "10.1.2.3:5", ""},
		"name, no port":    {"one", any4, nil, "10.1.2.3:7946", ""},
		"both families":    {"both", any4, nil, "10.1.2.3:7946", ""},
		"two addresses":    {"two", any4, nil, "", "several addresses, [10.1.2.3:7946 10.1.2.4:7946]"},
		"unknown name":     {"three", any4, nil, "", "no such host"},
		"nobody":           {"[::]:5", any4, nil, "", "nobody can dial"},
		"mapped":           {"::ffff:10.0.0.1", any4, nil, "10.0.0.1:7946", ""},
		"mapped interface": {"", any4, ips("::ffff:10.0.0.1"), "10.0.0.1:7946", ""},
	} {
		got, why, err := advertised(context.Background(), c.advertise, netip.MustParseAddrPort(c.bound), lookup, c.hosts)
		switch {
		case c.err != "":
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
		case err != nil || got.String() != c.want || why == "":
			t.Errorf("%s: %v (%s), %v; want %s", name, got, why, err, c.want)
		}
	}
}

func TestResolve(t *testing.T) {
	lookup := lookupFunc(func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("::ffff:10.0.0.1"), netip.MustParseAddr("10.0.0.2")}, nil
	})
	got, err := lookup.resolve(context.Background(), "fleet:7")
	if err != nil || len(got) != 2 || got[0].String() != "10.0.0.1:7" || got[1].String() != "10.0.0.2:7" {
		t.Error(got, err)
	}
	if got, err := lookup.resolve(context.Background(), "[fd00::1]:7"); err != nil || got[0].String() != "[fd00::1]:7" {
		t.Error(got, err)
	}
	for _, bad := range []string{"fleet", "fleet:x", "fleet:-1"} {
		if _, err := lookup.resolve(context.Background(), bad); err == nil {
			t.Error(bad)
		}
	}
}

func TestHostAddrs(t *testing.T) {
	ips, err := hostAddrs()
	if err != nil || len(ips) == 0 {
		t.Error(ips, err)
	}
}
