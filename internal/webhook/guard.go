package webhook

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// errAddress says that a name leads where no request may go.
var errAddress = errors.New("webhook: the address is not allowed")

// never are addresses that belong to the machine or its provider, to documentation, or to
// ways around the other rules: IPv6 forms that carry an IPv4 address inside.
var never = prefixes(
	"0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"240.0.0.0/4", "100.100.100.200/32", "168.63.129.16/32", // the last two are metadata services
	"::/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10", "fd00:ec2::/32",
)

// private are addresses of networks of one's own, which a configuration can allow.
var private = prefixes("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// translated are IPv6 addresses of IPv4 hosts, as networks without IPv4 use them.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// Allowed says whether a request may go to an address.
func Allowed(address netip.Addr, allowPrivate bool) bool {
	address = address.Unmap().WithZone("")
	if translated.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	inside := func(networks []netip.Prefix) bool {
		for _, network := range networks {
			if network.Contains(address) {
				return true
			}
		}
		return false
	}
	switch {
	case !address.IsValid(), address.IsMulticast(), address.IsLinkLocalUnicast(), address.IsUnspecified(), inside(never):
		return false
	case inside(private):
		return allowPrivate
	}
	return true
}

// control is called with the address of every connection before it is made.
func control(allowPrivate bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !Allowed(to.Addr(), allowPrivate) {
			return errAddress
		}
		return nil
	}
}

// CheckURL says what is wrong with the address of an endpoint, as a sentence, or "".
// Names are not resolved here: what counts is where they lead when a request leaves.
func CheckURL(text string, allowPrivate bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "Give the whole address of the endpoint, such as https://app.example.com/webhooks."
	case u.Scheme != "https" && (u.Scheme != "http" || !allowPrivate):
		return "Give an address that begins with https://: events are not sent unencrypted."
	case u.User != nil:
		return "Leave user name and password out of the address; requests are signed instead."
	case u.Fragment != "":
		return "Leave the part from # on out of the address; it is never sent."
	}
	address, err := netip.ParseAddr(strings.Trim(u.Hostname(), "[]"))
	if err != nil && net.ParseIP(u.Hostname()) == nil {
		return "" // a name
	}
	if err != nil || !Allowed(address, allowPrivate) {
		return "Give a public address: events are not sent to private, local or reserved ones. The operator can allow private ones with --webhooks-allow-private."
	}
	return ""
}
