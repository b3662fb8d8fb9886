// Package access holds the rules of Latchkey as pure functions.
//
// Everything that decides about access, time or a cooldown is here, and nothing
// else is: no clock, no database, no network. A caller passes the committed
// facts and the current instant and gets an answer; the same facts and the same
// instant always give the same answer. The workflows use these functions to
// move an item through its life, the API uses them to open a door or refuse it,
// and the explanation of a decision is the decision itself (BEHAVIOUR.md E5).
//
// Where to find a rule:
//
//   - [Decide]: may this guest open this entrance now, and which rule says so
//     (I1, I6, I9, I10, I12)
//   - [Invitation] and its methods: what can happen to an invitation (I1 to I5,
//     I13, K11)
//   - [Invitation.Next]: what happens by itself, and when (I5, K11, T2, T3)
//   - [Policy]: what a property's manager decides (I12)
//   - [ResolveLocal]: wall-clock times in a property's zone (T1)
//   - [Schedule]: weekly opening times of an entrance (I12)
//   - [Notices]: who is told what about a change (I4, I5, I13)
//   - [Grant]: what a panel is told about an item (P3)
//
// All instants are UTC. A zero [time.Time] means "none": a window without an
// end, a guest who was never verified.
//
// The package imports the standard library only, so that workflows, activities,
// the API and tests can share it without dragging anything along.
package access
