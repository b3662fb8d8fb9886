// Package conformance holds panels to the panel protocol. It is an engine of its
// own with everything that can go wrong on the way to one, and a list of checks,
// each of which names the rule that it is about. It is made from the description of
// the protocol alone, the package comment of internal/panel, and shares no code with
// the engine or the simulated panel: where the three agree, the description is enough
// to build from.
//
// # Trying a device
//
// The device needs the control interface below, by which the suite plays the people
// and the bad luck. With a command that starts a new panel, every check has one of its
// own and they run at the same time:
//
//	go test ./internal/conformance -kind door -start 'my-panel --engine {engine} --code {code} --listen {listen} --state {state}'
//
// {listen} is a free port on which the suite expects the control interface; {state} is
// a file for what survives a power cycle, which is the process killed and started
// again. With a device that is there already, the suite prints an enrolment code to be
// typed into it, and the checks run one after the other; those that need a new panel
// are skipped:
//
//	go test ./internal/conformance -kind smartbox -control http://10.0.0.7:9000 -listen 10.0.0.2:8099 -v
//
// -start-polling is -start for a panel that announces no address and polls.
// -address is where the device takes messages, if not where it announces; -slow adds
// the checks that take a minute or more; -run chooses checks, as in -run '/P4/'.
//
// The engine of the suite gives a door panel the entrances ent_1 and ent_2, and a
// SmartBox four slots, with the key key_1 in the first and key_2 in the second. Stock
// the box so.
//
// # The control interface
//
// All bodies are JSON; what goes well is answered with status 200.
//
//	GET  /sim           {"kind", "clock", "number", "entrances": [{"entrance_id"}], "slots": [{"slot", "open", "key_id"}],
//	                    "grants": [{"grant_id", "revision"}], "opened": [{"entrance_id" or "slot", "grant_id", "command_id"}]}
//	POST /sim/tap       {"tap_token", "entrance_id"}         a phone held to the panel
//	POST /sim/pass      {"pass", "proof", "entrance_id"}     a phone with a pass held to a door → {"result", "reason"}
//	POST /sim/code      {"code", "op"}                       a code typed → {"result": "opened" or "refused", "slot", "reason"}
//	POST /sim/keys      {"slot", "key_id" or null}           a key put into an open slot, or taken out
//	POST /sim/fault     {"mode", "value"}                    none; offline; lose_ack: acts and breaks the connection;
//	                                                         slow: waits for value before it acts; clock_skew: its clock is ahead by value
//	POST /sim/restart   {"wipe"}                             power cycle; with wipe it loses all but its identity
//
// kind is there once the panel has enrolled. number is the rotating number of a
// SmartBox. opened survives a power cycle: it is what the doors did. The reason of a
// refused code is the code of the event that is reported about it.
package conformance
