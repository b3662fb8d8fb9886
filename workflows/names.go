package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
)

// TaskQueue is where all workflows and activities of Latchkey are served.
const TaskQueue = "latchkey"

// Names of updates and signals. They are part of recorded histories: renaming
// one breaks every running item.
const (
	updateCreate              = "create"
	updateAccept              = "accept"
	updateDecline             = "decline"
	updateEdit                = "edit"
	updateResend              = "resend"
	updateRevoke              = "revoke"
	updateRequireVerification = "require_verification"
	updateLeave               = "leave"
	updateRetime              = "retime"
	updateMove                = "move"
	updateSubmitID            = "submit_visitor_id"
	updateDecideID            = "decide_visitor_id"

	// signalWake tells a workflow that rows have changed that it should look at.
	signalWake = "wake"
)

const (
	invitationPrefix  = "invitation/"
	reservationPrefix = "reservation/"
	panelPrefix       = "panel/"

	// OutboxWorkflowID is the one workflow that sends messages.
	OutboxWorkflowID = "outbox/messages"
)

// InvitationWorkflowID is the workflow id of an invitation.
func InvitationWorkflowID(invitationID string) string { return invitationPrefix + invitationID }

// ReservationWorkflowID is the workflow id of a reservation.
func ReservationWorkflowID(reservationID string) string { return reservationPrefix + reservationID }

// PanelWorkflowID is the workflow id of a panel's synchronisation.
func PanelWorkflowID(panelID string) string { return panelPrefix + panelID }

// WakePause is the least time between two wake-ups of a workflow: many reasons that
// come together are one look. Changes of access do not wait for it longer than a
// person would notice.
func WakePause(workflowID string) time.Duration {
	if workflowID == OutboxWorkflowID {
		return time.Second
	}
	return 200 * time.Millisecond
}

func panelOf(workflowID string) (panelID string, ok bool) {
	return strings.CutPrefix(workflowID, panelPrefix)
}

func reservationOf(workflowID string) (reservationID string, ok bool) {
	return strings.CutPrefix(workflowID, reservationPrefix)
}

// Search attributes by which an operator finds items in the Temporal UI.
var (
	searchAccount  = temporal.NewSearchAttributeKeyKeyword("LatchkeyAccount")
	searchProperty = temporal.NewSearchAttributeKeyKeyword("LatchkeyProperty")
	searchState    = temporal.NewSearchAttributeKeyKeyword("LatchkeyState")
	searchDeadline = temporal.NewSearchAttributeKeyTime("LatchkeyNextDeadline")
)
