package e2e

import (
	"context"
	"net/http"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"latchkey/internal/story"
)

// TestE9TemporalAway cuts an engine off from the Temporal cluster that it was told
// to use: doors go on opening for who may enter and refuse who may not, what changes
// state is refused and changes nothing, and afterwards everything catches up, each
// thing once.
func TestE9TemporalAway(t *testing.T) {
	t.Parallel()
	host := newStage(t)
	namespace := host.addNamespace("another-engine")
	temporal := newLine(t, host.temporal)
	s := newStage(t, "TEMPORAL_ADDRESS="+temporal.address(), "TEMPORAL_NAMESPACE="+namespace)
	play := s.newStory(10*time.Minute, 5*time.Minute)
	s.playSteps(play.Steps()[:11]) // until Rosa has been told that Ana unlocked from her phone
	app := play.Engine
	ben := s.invitation(play, "Ben", "ben@example.com", nil)
	short := time.Now().Add(5 * time.Second).Truncate(time.Second)
	cleo := s.invitation(play, "Cleo", "cleo@example.com", map[string]any{"ends_at": short.UTC().Format(time.RFC3339)})
	invite := func(key string, body map[string]any) story.Answer {
		t.Helper()
		return must(app.Post(t.Context(), "/v1/invitations", key, body))(t)
	}
	first := invite("ben", ben).Body.Text("id")
	ending := invite("cleo", cleo).Body.Text("id")
	s.accepts(ending, "cleo@example.com")

	temporal.cut()
	unlocks := func(id string) story.Answer {
		t.Helper()
		return must(app.Post(t.Context(), "/v1/invitations/"+id+"/unlock", "", map[string]any{"entrance_id": play.Lobby}))(t)
	}
	if a := unlocks(play.Invitation); a.Status != http.StatusOK {
		t.Errorf("with Temporal away the door answers %d %s", a.Status, a.Code())
	}
	if result := s.taps(play, play.Invitation); result != "verified" {
		t.Errorf("with Temporal away a tap is answered with %s", result)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := await(ctx, func() bool { return len(s.opened(play)) == 4 }); err != nil {
		t.Errorf("with Temporal away openings are not recorded: %v", s.opened(play))
	}
	before := s.records()
	dora := s.invitation(play, "Dora", "dora@example.com", nil)
	post := func(path, key string, body any) func() story.Answer {
		return func() story.Answer {
			t.Helper()
			return must(app.Post(t.Context(), path, key, body))(t)
		}
	}
	refusals := map[string]func() story.Answer{
		"creating":  post("/v1/invitations", "dora", dora),
		"revoking":  post("/v1/invitations/"+play.Invitation+"/revoke", "revoke", map[string]any{"reason": "moved out"}),
		"accepting": post("/v1/invitations/"+first+"/accept", "accept", map[string]any{"guest_email": "ben@example.com"}),
	}
	for what, ask := range refusals {
		a := ask()
		if a.Status != http.StatusServiceUnavailable || a.Code() != "unavailable" || a.Header.Get("Retry-After") == "" {
			t.Errorf("with Temporal away %s is answered with %d %s, Retry-After %q", what, a.Status, a.Code(), a.Header.Get("Retry-After"))
		}
	}
	if after := s.records(); after != before {
		t.Errorf("what was refused changed something:\n%s\n%s", before, after)
	}
	if err := await(ctx, func() bool { return unlocks(ending).Code() == "outside_window" }); err != nil || time.Now().Before(short) {
		t.Errorf("T0: the door of the access that ends at %s answered %v before", short, unlocks(ending))
	}
	if told := len(must(play.Messages(ctx, play.HostMail, "entrance_unlocked"))(t)); told != 2 {
		t.Errorf("with Temporal away %d messages about openings are out, want the 2 from before", told)
	}

	temporal.mend()
	for what, ask := range refusals {
		if err := await(ctx, func() bool { return ask().Status < http.StatusMultipleChoices }); err != nil {
			t.Errorf("%s does not work again: %v", what, err)
		}
	}
	if a := unlocks(play.Invitation); a.Code() != "not_active" {
		t.Errorf("I13: after the revocation the door answers %d %s", a.Status, a.Code())
	}
	s.checkCaughtUp(ctx, play, ending, short)
}

// checkCaughtUp waits for everything that Temporal's absence had delayed (T2).
func (s *stage) checkCaughtUp(ctx context.Context, play *story.Story, ending string, ended time.Time) {
	s.t.Helper()
	if err := await(ctx, func() bool {
		list := must(play.Engine.Get(ctx, "/v1/events?type=invitation.ended&item_id="+ending))(s.t).Body.List("items")
		return len(list) == 1 && instantOf(list[0]).Equal(ended)
	}); err != nil {
		s.t.Errorf("T0: the end of %s is not recorded with its own time", ending)
	}
	want := map[[2]string]int{
		{play.GuestMail, "invitation"}: 1, {play.HostMail, "invitation_accepted"}: 3, {play.HostMail, "entrance_unlocked"}: 4,
		{play.GuestMail, "invitation_revoked"}: 1, {"ben@example.com", "invitation"}: 1, {"cleo@example.com", "invitation"}: 1, {"dora@example.com", "invitation"}: 1,
	}
	for key, count := range want {
		if err := await(ctx, func() bool {
			found, err := play.Messages(ctx, key[0], key[1])
			return err == nil && len(found) >= count
		}); err != nil {
			s.t.Errorf("%s does not get %s", key[0], key[1])
		}
	}
	s.checkMessages(play, want)
	if list := must(play.Engine.Get(ctx, "/v1/invitations"))(s.t).Body.List("items"); len(list) != 4 {
		s.t.Errorf("E2: there are %d invitations instead of 4", len(list))
	}
}

// invitation is a body that invites somebody to the lobby.
func (s *stage) invitation(play *story.Story, name, address string, change map[string]any) map[string]any {
	body := map[string]any{
		"property_id": play.Property, "inviter": map[string]any{"name": "Rosa Marques", "email": play.HostMail},
		"guest": map[string]any{"name": name, "email": address}, "entrance_ids": []string{play.Lobby},
	}
	for field, value := range change {
		body[field] = value
	}
	return body
}

// accepts is an app that accepts for a guest whom it has signed in.
func (s *stage) accepts(invitation, address string) {
	s.t.Helper()
	a := must(s.client().Post(s.t.Context(), "/v1/invitations/"+invitation+"/accept", "", map[string]any{"guest_email": address}))(s.t)
	if a.Body.Text("state") != "accepted" {
		s.t.Fatalf("accepting is answered with %d %s", a.Status, a.Code())
	}
}

// taps asks for a tap token and holds it to the lobby's panel.
func (s *stage) taps(play *story.Story, invitation string) (result string) {
	s.t.Helper()
	token := must(s.client().Post(s.t.Context(), "/v1/invitations/"+invitation+"/verification", "", nil))(s.t).Body.Text("tap_token")
	answer := must(play.LobbyPanel.Post(s.t.Context(), "/sim/tap", "", map[string]any{"tap_token": token, "entrance_id": play.Lobby}))(s.t)
	return answer.Body.Text("result")
}

// addNamespace adds a namespace to the Temporal of this stage, as the operator of a
// cluster would for an engine that is to use it.
func (s *stage) addNamespace(name string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	namespaces := must(client.NewNamespaceClient(client.Options{HostPort: s.temporal}))(s.t)
	defer namespaces.Close()
	err := namespaces.Register(ctx, &workflowservice.RegisterNamespaceRequest{Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour)})
	if err != nil {
		s.t.Fatal(err)
	}
	c := must(client.NewLazyClient(client.Options{HostPort: s.temporal, Namespace: name}))(s.t)
	defer c.Close()
	attributes := map[string]enums.IndexedValueType{
		"LatchkeyAccount": enums.INDEXED_VALUE_TYPE_KEYWORD, "LatchkeyProperty": enums.INDEXED_VALUE_TYPE_KEYWORD,
		"LatchkeyState": enums.INDEXED_VALUE_TYPE_KEYWORD, "LatchkeyNextDeadline": enums.INDEXED_VALUE_TYPE_DATETIME,
	}
	// The servers of a cluster hear of a namespace, and of what is added to it, one
	// after the other.
	for _, known := range []func() error{
		func() error {
			_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: name, SearchAttributes: attributes})
			return err
		},
		func() error {
			_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: "LatchkeyProperty = 'none' AND LatchkeyState = 'none'"})
			return err
		},
	} {
		if err := await(ctx, func() bool { return known() == nil }); err != nil {
			s.t.Fatalf("%v: %v", err, known())
		}
	}
	return name
}
