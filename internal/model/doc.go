// Package model holds a small model of reservations of a key, written apart from
// the rules in internal/access and without calling them. Its tests play random
// stories of hosts, visitors, a SmartBox that is cut off, an engine that is down and
// clocks that move, and hold the rules, the box and the custody of the key to what
// the model says. There is no other code in it.
package model
