// Package webhook sends events to apps (BEHAVIOUR.md E4): what a request looks
// like, where it may go, and when it is tried again.
//
// # A request
//
// POST with a JSON body {"type", "timestamp", "data"}, where data is the event as
// GET /v1/events shows it, without people's own words. It is signed as Standard
// Webhooks says: webhook-id is the event's id and the same in every attempt and
// replay, so a receiver can tell a repetition; webhook-timestamp is the attempt's;
// webhook-signature has one signature for each secret in force, the newest first.
// Any answer of 2xx within [Timeout] takes the event. Redirects are not followed.
//
// # Order and retries
//
// Events of one item reach an endpoint one after the other: the next one leaves
// when the one before was taken or has died. Different items do not wait for each
// other. After a failed attempt the pauses are those of [Schedule], each up to a
// tenth longer, for a day; then the delivery is dead and waits to be replayed. It is
// at least once: an answer that is lost is an event that comes again.
//
// # Where requests go
//
// Never to private, loopback, link-local, multicast or metadata addresses. The
// address is checked when the connection is made, after the name was resolved, so
// a name that changes its mind gains nothing; proxies of the environment are not
// used. A configuration for development and closed networks allows private and
// loopback addresses and plain HTTP; the rest is never allowed.
package webhook
