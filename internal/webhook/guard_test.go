package webhook_test

import (
	"net/netip"
	"testing"

	"latchkey/internal/webhook"
)

// E4: no request goes to a private, loopback, link-local, multicast or metadata address.
func TestAddressesThatAreAllowed(t *testing.T) {
	t.Parallel()
	const always, configured, never = "always", "configured", "never"
	for address, want := range map[string]string{
		"8.8.8.8": always, "2606:4700::1111": always, "172.32.0.1": always, "64:ff9b::8.8.8.8": always,
		"10.1.2.3": configured, "172.16.0.1": configured, "192.168.1.1": configured, "127.0.0.1": configured, "127.9.9.9": configured, "::1": configured,
		"100.64.0.1": configured, "fd12:3456::1": configured, "::ffff:10.0.0.1": configured, "::ffff:127.0.0.1": configured, "64:ff9b::10.0.0.1": configured,
		"169.254.169.254": never, "169.254.1.1": never, "fe80::1": never, "fe80::1%eth0": never, "::ffff:169.254.169.254": never,
		"64:ff9b::169.254.169.254": never, "fd00:ec2::254": never, "100.100.100.200": never, "168.63.129.16": never, "192.0.0.192": never,
		"224.0.0.1": never, "239.255.255.255": never, "ff02::1": never, "255.255.255.255": never, "240.0.0.1": never,
		"0.0.0.0": never, "0.1.2.3": never, "::": never, "2002:a00:1::": never, "2001:0:53aa:64c::1": never, "2001:db8::1": never, "198.18.0.1": never,
	} {
		parsed := netip.MustParseAddr(address)
		got := never
		switch {
		case webhook.Allowed(parsed, false):
			got = always
		case webhook.Allowed(parsed, true):
			got = configured
		}
		if got != want {
			t.Errorf("%s is allowed %s, want %s", address, got, want)
		}
		if webhook.Allowed(parsed, false) && !webhook.Allowed(parsed, true) {
			t.Errorf("%s: a configuration that allows more forbids it", address)
		}
	}
	if webhook.Allowed(netip.Addr{}, true) {
		t.Error("no address is allowed")
	}
}

// E6: what could never be delivered is refused when it is entered.
func TestURLsThatAreAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url             string
		public, private bool
	}{
		{"https://app.example.com/hooks?token=1", true, true},
		{"https://app.example.com:8443", true, true},
		{"https://8.8.8.8/", true, true},
		{"https://[2606:4700::1111]/", true, true},
		{"http://app.example.com/", false, true},
		{"https://127.0.0.1/", false, true},
		{"http://[::1]:9000/", false, true},
		{"https://169.254.169.254/latest", false, false},
		{"https://[fe80::1]/", false, false},
		{"https://me:secret@app.example.com/", false, false},
		{"https://app.example.com/#part", false, false},
		{"ftp://app.example.com/", false, false},
		{"app.example.com", false, false},
		{"https://", false, false},
		{"https://:443/", false, false},
		{"https://%zz/", false, false},
		{"", false, false},
	} {
		if wrong := webhook.CheckURL(c.url, false); (wrong == "") != c.public {
			t.Errorf("%q, public only: %q", c.url, wrong)
		}
		if wrong := webhook.CheckURL(c.url, true); (wrong == "") != c.private {
			t.Errorf("%q, private allowed: %q", c.url, wrong)
		}
	}
}
