package mesh

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Every mistake is refused with what to write instead, and all at once.
func TestConfigRefused(t *testing.T) {
	discover := func(context.Context) ([]string, error) { return nil, nil }
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"seeds without founders": {Config{Seeds: []string{"a:1"}}, []string{"Founders is 0", "size of the fleet", "at least 2"}},
		"one founder with seeds": {Config{Seeds: []string{"a:1"}, Founders: 1}, []string{"Founders is 1", "two meshes"}},
		"discover, no founders":  {Config{Discover: discover}, []string{"Founders is 0"}},
		"founders without seeds": {Config{Founders: 3}, []string{"Founders is 3 without Seeds"}},
		"negative founders":      {Config{Founders: -1}, []string{"Founders is -1"}},
		"too many founders":      {Config{Seeds: []string{"a:1"}, Founders: 5000}, []string{"at most 1024"}},
		"both":                   {Config{Seeds: []string{"a:1"}, Discover: discover, Founders: 2}, []string{"both Seeds and Discover"}},
		"seed without port":      {Config{Seeds: []string{"node-1"}, Founders: 2}, []string{`seed "node-1"`, "missing port", `"node-1:7946"`}},
		"seed with odd port":     {Config{Seeds: []string{"a:http"}, Founders: 2}, []string{`port "http" is not a number`}},
		"seed with high port":    {Config{Seeds: []string{"a:70000"}, Founders: 2}, []string{"65535"}},
		"seed with port 0":       {Config{Seeds: []string{"a:0"}, Founders: 2}, []string{"port 0 cannot be dialled"}},
		"seed without host":      {Config{Seeds: []string{":7946"}, Founders: 2}, []string{"host is missing"}},
		"bare IPv6 seed":         {Config{Seeds: []string{"fd00::1:7946"}, Founders: 2}, []string{"too many colons"}},
		"bind without port":      {Config{Bind: "127.0.0.1"}, []string{`Bind "127.0.0.1"`, `":7946"`}},
		"advertise nobody":       {Config{Advertise: "0.0.0.0:1"}, []string{"nobody can dial 0.0.0.0"}},
		"advertise odd port":     {Config{Advertise: "a:b"}, []string{`port "b"`}},
		"long name":              {Config{Name: strings.Repeat("n", 129)}, []string{"Name has 129 bytes; at most 128"}},
		"odd name":               {Config{Name: "\xff"}, []string{"Name is not valid UTF-8"}},
		"long cluster":           {Config{Cluster: strings.Repeat("n", 65)}, []string{"Cluster has 65 bytes"}},
		"long zone":              {Config{Zone: strings.Repeat("n", 65)}, []string{"Zone has 65 bytes"}},
		"partitions":             {Config{Params: Params{Partitions: 5000}}, []string{"Partitions is 5000; use 1 to 4096"}},
		"replicas":               {Config{Params: Params{Replicas: -1}}, []string{"Replicas is -1; use 1 to 7"}},
		"MaxTTL":                 {Config{Params: Params{MaxTTL: -time.Second}}, []string{"MaxTTL is -1s"}},
		"MembershipTTL":          {Config{Params: Params{MembershipTTL: time.Millisecond}}, []string{"MembershipTTL is 1ms; use 50ms"}},
		"drift":                  {Config{Params: Params{ClockDrift: math.NaN()}}, []string{"ClockDrift is NaN"}},
		"negative drift":         {Config{Params: Params{ClockDrift: -0.1}}, []string{"ClockDrift is -0.1"}},
		"high drift":             {Config{Params: Params{ClockDrift: 0.3}}, []string{"ClockDrift is 0.3; use 0.01"}},
		"all of several": {Config{Name: "\xff" + strings.Repeat("n", 128), Seeds: []string{"a:1"}, Discover: discover, Params: Params{Partitions: -1, Replicas: -2, MaxTTL: -3, MembershipTTL: -4, ClockDrift: -5}},
			[]string{"129 bytes", "UTF-8", "both Seeds", "Founders is 0", "Partitions is -1", "Replicas is -2", "MaxTTL is -3", "MembershipTTL is -4", "ClockDrift is -5"}},
		"several": {Config{Bind: "x", Seeds: []string{"y"}}, []string{`Bind "x"`, `seed "y"`, "Founders is 0"}},
	} {
		n, err := Join(context.Background(), c.cfg)
		if n != nil || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\ndoes not say %q", name, err, want)
			}
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	cfg, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if want := (Params{271, 3, time.Minute, 2 * time.Second, 0.01}); cfg.Params != want {
		t.Error(cfg.Params)
	}
	if cfg.Bind != ":7946" || cfg.Cluster != "lockmesh" || cfg.Founders != 1 || cfg.Name == "" || cfg.Logger != slog.Default() {
		t.Errorf("%+v", cfg)
	}
	if cfg.Env.Clock == nil || cfg.Env.Rand == nil || cfg.Env.Lookup == nil || cfg.Env.Network != nil {
		t.Errorf("%+v", cfg.Env)
	}
	if a, b := cfg.Env.Clock.Now(), cfg.Env.Clock.Now(); a <= 0 || b < a {
		t.Error(a, b)
	}
	other, _ := Config{}.withDefaults()
	if other.Name == cfg.Name {
		t.Error("two nodes of one host have one name", cfg.Name)
	}
}

// Join copies the configuration and never writes to it.
func TestConfigIsCopied(t *testing.T) {
	given := Config{Seeds: []string{"a:1", "b:2"}, Founders: 2, Env: &Env{}}
	cfg, err := given.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Seeds[0] = "x"
	if !reflect.DeepEqual(given, Config{Seeds: []string{"a:1", "b:2"}, Founders: 2, Env: &Env{}}) {
		t.Errorf("%+v", given)
	}
}
