// Package simulation plays days of a whole account in a minute: panels that are cut
// off, slow, restarted and wiped, guests and visitors at their doors and boxes, and
// people who change what those may do meanwhile. Store, rules, activities, panel
// protocol and simulated panels are the real ones; only the clock is the
// simulation's, and workflows are driven by their own rules without Temporal.
//
// What happened is judged afterwards by rules written apart (judge_test.go): no door
// opened outside what was allowed at that moment given what its panel had been told,
// nothing was acted on twice or too late, and in the end every panel holds what it
// should and every event is in the log once.
//
// There is nothing here but tests.
package simulation
