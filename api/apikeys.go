package api

import (
	"context"
	"time"

	"latchkey/internal/directory"
)

// APIKey is a credential of an app on the wire, without its secret.
type APIKey struct {
	ID        string    `json:"id" example:"apk_d4k2m1c7h1qg00f3v5tg"`
	Name      string    `json:"name"`
	Scopes    []string  `json:"scopes" enum:"admin,read,directory,invitations,reservations,unlock"`
	CreatedAt time.Time `json:"created_at"`
}

// APIKeyWithSecret is an API key with its secret, which is shown once.
type APIKeyWithSecret struct {
	APIKey
	Secret string `json:"secret" doc:"What goes after Bearer. Shown once"`
}

type createAPIKeyInput struct {
	Body struct {
		Name   string   `json:"name" minLength:"1" maxLength:"200"`
		Scopes []string `json:"scopes" minItems:"1" maxItems:"6" uniqueItems:"true" enum:"admin,read,directory,invitations,reservations,unlock"`
	} `nameHint:"CreateAPIKey"`
}

type changeAPIKeyInput struct {
	ByID
	Body struct {
		Name   Optional[string]   `json:"name,omitempty" minLength:"1" maxLength:"200"`
		Scopes Optional[[]string] `json:"scopes,omitempty" minItems:"1" maxItems:"6" enum:"admin,read,directory,invitations,reservations,unlock"`
	} `nameHint:"ChangeAPIKey"`
}

func (s *service) createAPIKey(ctx context.Context, in *createAPIKeyInput) (*output[APIKeyWithSecret], error) {
	key, secret, err := s.Store.CreateAPIKey(ctx, accountID(ctx), in.Body.Name, scopesFrom(in.Body.Scopes), time.Now())
	if err != nil {
		return nil, err
	}
	return &output[APIKeyWithSecret]{Body: APIKeyWithSecret{APIKey: apiKeyOf(key), Secret: secret}}, nil
}

func (s *service) listAPIKeys(ctx context.Context, in *Paging) (*output[List[APIKey]], error) {
	values, next, err := s.Store.APIKeys(ctx, accountID(ctx), in.page())
	if err != nil {
		return nil, err
	}
	return listOf(values, next, apiKeyOf), nil
}

func (s *service) getAPIKey(ctx context.Context, in *ByID) (*output[APIKey], error) {
	key, err := s.Store.APIKey(ctx, accountID(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &output[APIKey]{Body: apiKeyOf(key)}, nil
}

func (s *service) changeAPIKey(ctx context.Context, in *changeAPIKeyInput) (*output[APIKey], error) {
	key, err := s.Store.UpdateAPIKey(ctx, accountID(ctx), in.ID, func(key *directory.APIKey) error {
		in.Body.Name.set(&key.Name)
		if in.Body.Scopes.Sent {
			key.Scopes = scopesFrom(in.Body.Scopes.Value)
		}
		return nil
	}, time.Now())
	if err != nil {
		return nil, err
	}
	return &output[APIKey]{Body: apiKeyOf(key)}, nil
}

func (s *service) deleteAPIKey(ctx context.Context, in *ByID) (*struct{}, error) {
	return nil, s.Store.RevokeAPIKey(ctx, accountID(ctx), in.ID, time.Now())
}

func scopesFrom(names []string) []directory.Scope {
	scopes := make([]directory.Scope, 0, len(names))
	for _, name := range names {
		scopes = append(scopes, directory.Scope(name))
	}
	return scopes
}

func apiKeyOf(key directory.APIKey) APIKey {
	scopes := make([]string, 0, len(key.Scopes))
	for _, scope := range key.Scopes {
		scopes = append(scopes, string(scope))
	}
	return APIKey{ID: key.ID, Name: key.Name, Scopes: scopes, CreatedAt: key.CreatedAt.UTC()}
}
