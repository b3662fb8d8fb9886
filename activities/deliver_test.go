package activities_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"latchkey/activities"
	"latchkey/internal/access"
)

// shelf is one panel and what waits for it, urgent things first.
type shelf struct {
	policies []access.PanelPolicy
	urgent   []access.Grant
	grants   []access.Grant
	calls    []string
	onPut    func(id string) error
	older    bool // the panel acknowledges less than it was sent
	failed   []string
}

func (s *shelf) PendingPolicies(context.Context, string) ([]access.PanelPolicy, error) {
	return slices.Clone(s.policies), nil
}

func (s *shelf) PendingGrants(_ context.Context, panelID string, limit int) (list []activities.PendingGrant, err error) {
	for _, g := range append(slices.Clone(s.urgent), s.grants...) {
		if len(list) < limit {
			list = append(list, activities.PendingGrant{PanelID: panelID, Grant: g})
		}
	}
	return list, nil
}

func (s *shelf) ConfirmGrant(_ context.Context, _ string, sent access.Grant, _ int64, _ time.Time) error {
	same := func(g access.Grant) bool { return g.ID == sent.ID }
	s.urgent, s.grants = slices.DeleteFunc(s.urgent, same), slices.DeleteFunc(s.grants, same)
	return nil
}

func (s *shelf) ConfirmPolicy(_ context.Context, _ string, sent access.PanelPolicy, _ int64, _ time.Time) error {
	s.policies = slices.DeleteFunc(s.policies, func(p access.PanelPolicy) bool { return p.EntranceID == sent.EntranceID })
	return nil
}

func (s *shelf) FailGrants(_ context.Context, _, reason string, _ time.Time) error {
	s.failed = append(s.failed, reason)
	return nil
}

func (s *shelf) Delivered(context.Context, string) error { return nil }

func (s *shelf) put(id string, number int64) (int64, error) {
	s.calls = append(s.calls, id)
	if s.older {
		number--
	}
	if s.onPut == nil {
		return number, nil
	}
	return number, s.onPut(id)
}

func (s *shelf) PutGrant(_ context.Context, _ string, g access.Grant) (int64, error) {
	return s.put(g.ID, g.Revision)
}

func (s *shelf) PutPolicy(_ context.Context, _ string, p access.PanelPolicy) (int64, error) {
	return s.put(p.EntranceID, p.Version)
}

func (s *shelf) push(t *testing.T) (delivered int, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	a := &activities.Activities{Grants: s, Panels: s, Clock: time.Now}
	env.RegisterActivity(a)
	value, err := env.ExecuteActivity(a.PushGrants, "pan_1")
	if err == nil {
		err = value.Get(&delivered)
	}
	return delivered, err
}

func many(n int) (list []access.Grant) {
	for i := range n {
		list = append(list, access.Grant{ID: fmt.Sprintf("inv_%d", i), Revision: 1})
	}
	return list
}

// P5: policy documents go before grants, and what becomes urgent meanwhile does not
// wait for all that was there before.
func TestP5UrgentThingsDoNotWaitForABatch(t *testing.T) {
	s := &shelf{policies: []access.PanelPolicy{{EntranceID: "ent_1", Version: 4}}, grants: many(60)}
	s.onPut = func(id string) error {
		if id == "inv_3" {
			s.urgent = append(s.urgent, access.Grant{ID: "revoked", Revision: 2, Tombstone: true})
			s.policies = append(s.policies, access.PanelPolicy{EntranceID: "ent_2", Version: 5})
		}
		return nil
	}
	delivered, err := s.push(t)
	if err != nil || delivered != 63 {
		t.Fatalf("%d delivered, %v", delivered, err)
	}
	if s.calls[0] != "ent_1" {
		t.Errorf("first came %s", s.calls[0])
	}
	if policy, revoked := slices.Index(s.calls, "ent_2"), slices.Index(s.calls, "revoked"); policy > 15 || revoked != policy+1 {
		t.Errorf("the document came at place %d, the revocation at %d", policy, revoked)
	}
}

// P5: a panel that does not answer is asked once and no more; what one refuses does not
// hold up the rest.
func TestP5FailuresOfAPanel(t *testing.T) {
	poison := func(id string) error {
		if id == "inv_0" || id == "ent_1" {
			return errors.New("malformed")
		}
		return nil
	}
	document := access.PanelPolicy{EntranceID: "ent_1", Version: 1}
	crowd := &shelf{grants: many(250), onPut: poison}
	for n := range 2 {
		if delivered, err := crowd.push(t); err != nil || delivered < 100 || len(crowd.failed) > 0 {
			t.Errorf("batch %d: %d delivered, %v", n, delivered, err)
		}
	}
	if _, err := crowd.push(t); err == nil || len(crowd.grants) != 1 || len(crowd.failed) != 1 {
		t.Errorf("at last %d grants are left, %v", len(crowd.grants), err)
	}
	for name, c := range map[string]struct {
		shelf            *shelf
		reason           string
		delivered, calls int
	}{
		"unreachable":       {&shelf{grants: many(30), onPut: func(string) error { return activities.ErrPanelUnreachable }}, "unreachable", 0, 1},
		"no answer":         {&shelf{grants: many(30), onPut: func(string) error { return activities.ErrOutcomeUnknown }}, "no answer", 0, 1},
		"takes nothing in":  {&shelf{grants: many(30), older: true}, "refused", 0, 10},
		"refuses one":       {&shelf{grants: many(30), onPut: poison}, "refused", 29, 30},
		"refuses two kinds": {&shelf{policies: []access.PanelPolicy{document}, grants: many(30), onPut: poison}, "refused", 29, 31},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.shelf.push(t)
			if err == nil || len(c.shelf.calls) != c.calls || !slices.Equal(c.shelf.failed, []string{c.reason}) {
				t.Errorf("%d calls, noted as %q, %v", len(c.shelf.calls), c.shelf.failed, err)
			}
			if left := len(c.shelf.grants); left != 30-c.delivered {
				t.Errorf("%d grants are left", left)
			}
		})
	}
}
