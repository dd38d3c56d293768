package mesh

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// lookupFunc resolves a host name.
type lookupFunc func(ctx context.Context, host string) ([]netip.Addr, error)

// resolve returns all addresses that a host:port stands for, sorted.
func (lookup lookupFunc) resolve(ctx context.Context, hostPort string) ([]netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, formError(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(n))}, nil
	}
	ips, err := lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("the name has no address")
	}
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	return slices.Compact(addrs), nil
}

// splitAdvertise takes host, host: or host:port apart; port 0 is "that of Bind".
func splitAdvertise(s string) (host string, port uint16, err error) {
	if !strings.Contains(s, ":") || net.ParseIP(s) != nil {
		return s, 0, checkAdvertiseHost(s)
	}
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, formError(err)
	}
	if portText != "" {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil {
			return "", 0, fmt.Errorf("port %q is not a number from 0 to 65535", portText)
		}
		port = uint16(n)
	}
	return host, port, checkAdvertiseHost(host)
}

func checkAdvertiseHost(host string) error {
	if host == "" {
		return fmt.Errorf("the host is missing")
	}
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsUnspecified() || ip.IsMulticast()) {
		return fmt.Errorf("nobody can dial %v", ip)
	}
	return nil
}

// advertised decides what others dial: Advertise, or the address of Bind, or
// the one private address of the host. bound is where the node listens, hosts
// are the addresses of its network interfaces. why is for the log.
func advertised(ctx context.Context, advertise string, bound netip.AddrPort, lookup lookupFunc, hosts func() ([]netip.Addr, error)) (addr netip.AddrPort, why string, err error) {
	if advertise != "" {
		return resolveAdvertise(ctx, advertise, bound.Port(), lookup)
	}
	if ip := bound.Addr().Unmap(); !ip.IsUnspecified() {
		return netip.AddrPortFrom(ip, bound.Port()), "it is bound there", nil
	}
	ips, err := hosts()
	if err != nil {
		return addr, "", invalid(fmt.Sprintf("the addresses of this host cannot be read: %v; set Advertise to the host:port that other nodes dial", err))
	}
	ip, why, err := choose(ips)
	if err != nil {
		return addr, "", err
	}
	return netip.AddrPortFrom(ip, bound.Port()), why, nil
}

func resolveAdvertise(ctx context.Context, advertise string, port uint16, lookup lookupFunc) (addr netip.AddrPort, why string, err error) {
	host, own, err := splitAdvertise(advertise)
	if err != nil {
		return addr, "", invalid(fmt.Sprintf("Advertise %q: %v", advertise, err))
	}
	if own != 0 {
		port = own
	}
	all, err := lookup.resolve(ctx, net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return addr, "", invalid(fmt.Sprintf("Advertise %q: %v; write an address or a name that resolves here", advertise, err))
	}
	// A name often has an address of each family: the older one reaches further.
	if v4 := slices.DeleteFunc(slices.Clone(all), func(a netip.AddrPort) bool { return !a.Addr().Is4() }); len(v4) > 0 {
		all = v4
	}
	if len(all) > 1 {
		return addr, "", invalid(fmt.Sprintf("Advertise %q has several addresses, %v; write the one that other nodes dial", advertise, all))
	}
	return all[0], "Advertise says so", nil
}

// choose picks the address that others dial from those of the host: its one
// private IPv4 address, or else its one private IPv6 address, or loopback if
// the host has nothing else. It does not guess.
func choose(ips []netip.Addr) (ip netip.Addr, why string, err error) {
	var private4, private6, public, loopback []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap().WithZone("")
		switch {
		case ip.IsLoopback():
			loopback = append(loopback, ip)
		case ip.IsLinkLocalUnicast() || !ip.IsValid() || ip.IsMulticast() || ip.IsUnspecified():
		case ip.IsPrivate() && ip.Is4():
			private4 = append(private4, ip)
		case ip.IsPrivate():
			private6 = append(private6, ip)
		default:
			public = append(public, ip)
		}
	}
	const say = "set Advertise to the one that other nodes dial, or bind to it"
	switch {
	case len(private4) == 1:
		return private4[0], "the host's only private IPv4 address", nil
	case len(private4) > 1:
		return ip, "", invalid(fmt.Sprintf("Bind is to all addresses and this host has several private ones, %v; %s", private4, say))
	case len(private6) == 1:
		return private6[0], "the host's only private IPv6 address", nil
	case len(private6) > 1:
		return ip, "", invalid(fmt.Sprintf("Bind is to all addresses and this host has several private ones, %v; %s", private6, say))
	case len(public) > 0:
		return ip, "", invalid(fmt.Sprintf("Bind is to all addresses and this host has only public ones, %v; %s", public, say))
	case len(loopback) > 0:
		slices.SortFunc(loopback, netip.Addr.Compare)
		return loopback[0], "the host has no other than loopback", nil
	}
	return ip, "", invalid("Bind is to all addresses and this host has none; set Advertise to the host:port that other nodes dial")
}

// hostAddrs lists the addresses of the interfaces that are up.
func hostAddrs() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var ips []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // gone meanwhile
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				ips = append(ips, p.Addr())
			}
		}
	}
	return ips, nil
}
