package directory

import "fmt"

// Error is a request that cannot be carried out: a stable code, a sentence that
// says what to do, and the fields that are to blame. The API turns it into a
// problem document; nothing internal is in it.
type Error struct {
	Code   string
	Detail string
	Fields []Field
	Count  int // with in_use: how many live items are in the way
}

// Field names one input that is wrong and says what to change.
type Field struct {
	Location string // for example body.ends_at
	Message  string
}

// The codes of errors that are not a rule's refusal.
const (
	CodeNotFound           = "not_found"
	CodeInvalid            = "invalid"
	CodeConflict           = "conflict"
	CodeInUse              = "in_use"
	CodePreconditionFailed = "precondition_failed"
	CodeForbidden          = "forbidden"
)

func (e *Error) Error() string { return e.Code + ": " + e.Detail }

// NotFound says that the account has no such thing; another account's is not
// told apart from none (E8).
func NotFound(what, id string) *Error {
	return &Error{Code: CodeNotFound, Detail: fmt.Sprintf("There is no %s %q in this account.", what, id)}
}

// Invalid says which input is wrong and what to change.
func Invalid(location, message string) *Error {
	return &Error{Code: CodeInvalid, Detail: message, Fields: []Field{{Location: location, Message: message}}}
}
