// Package api is Latchkey's HTTP API, version 1: what apps, guests' devices and
// operators speak to.
//
// [New] builds the handler. Read routes.go first: it is the whole surface, one
// line per call, in the order of the documentation. Each line names the method,
// the path, who may call it and the function that answers. Around every call
// runs the same short chain, in this order:
//
//	request id → access log → recovery → deadline → who is calling → body limit → idempotency → validation → handler
//
// Requests and answers are Go structs; huma derives validation and the OpenAPI
// 3.1 document at /openapi.json from them, so the document cannot disagree with
// the code. Answers always have all of their fields: what has no value is null.
// Instants are RFC 3339 in UTC, durations are strings such as "336h".
//
// Every error is one problem document (RFC 9457) with a stable code, and one
// table turns errors of the rules and the store into them: problem.go. What is
// not in the table is logged once and answered as 500 without its text (E6).
//
// A caller is either an API key, which belongs to an account, or a guest's
// session, which belongs to a person. A route takes one of the two and never the
// other (I15); handlers take the account or the person from the context and pass
// it to the store, which finds nothing of anybody else's (E8).
package api
