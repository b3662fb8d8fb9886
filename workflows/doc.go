// Package workflows holds the durable stories of Latchkey: one workflow per
// invitation, one per panel that has something to catch up on, and one that sends
// what waits in the outbox.
//
// They all have the same shape. The state is one serialisable value; a pure
// function of package access says what is due ([access.Invitation.Next]); update
// handlers change the state and wait until Postgres holds the change; one loop
// records, performs what is due or sleeps until the next deadline; and
// continue-as-new carries the whole state along. Read invitation.go for the story,
// loop.go for the engine under it and client.go for the way in.
//
// Workflows never open a door: that is a decision on what they have recorded, made
// by the API, so that doors go on opening while Temporal is busy or away (E9).
//
// Nothing personal is in a workflow: ids, instants and states only (E7).
package workflows
