package panel

// The types of messages by which a panel that cannot be reached fetches its own.
const (
	TypePoll       Type = "poll"
	TypeDeliveries Type = "deliveries"
	TypeAnswers    Type = "answers"
	TypeAnswersAck Type = "answers_ack"
)

// Poll asks for the messages that wait for the panel. The newest poll of a panel is
// the only one that gets any: an older one is answered with none at once.
type Poll struct {
	BootID string `json:"boot_id"`
}

// Deliveries are the messages that wait, each signed for the panel as if it were
// delivered to its address; none when the time to wait is over.
type Deliveries struct {
	Messages []string `json:"messages"`
}

// Answers are what the panel says to messages that were delivered: the very answers
// that it would give at its address, each with the re of its message.
type Answers struct {
	Answers []string  `json:"answers"`
	Refused []Refused `json:"refused,omitempty"`
}

// Refused is a delivered message that the panel did not accept.
type Refused struct {
	Re     string `json:"re"` // the jti of the message
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
}

// AnswersAck says that the engine has the answers. An answer that nobody waits for
// any more is dropped.
type AnswersAck struct{}

// AnswerTo reads which message an answer names, without believing it.
func AnswerTo(token string) (messageID string, err error) {
	e, err := unverified(token)
	return e.Re, err
}

// MessageHead reads the type and id of a message, without believing them: a panel
// that has fetched one finds by it whom to give it to.
func MessageHead(token string) (typ Type, messageID string, err error) {
	e, err := unverified(token)
	return e.Type, e.ID, err
}
