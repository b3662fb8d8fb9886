package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/serialization"
	temporalpersistence "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	"google.golang.org/protobuf/types/known/durationpb"

	"latchkey/internal/postgres"
)

// retention is how long a closed workflow can still be looked at. The record of
// what happened is Latchkey's event log, not Temporal's history.
const retention = 7 * 24 * time.Hour

// searchAttributes are what an operator can search for in the UI. Ids, states and
// instants only: search attributes are always in clear (E7).
var searchAttributes = []struct {
	name string
	kind enums.IndexedValueType
}{
	{"LatchkeyAccount", enums.INDEXED_VALUE_TYPE_KEYWORD},
	{"LatchkeyProperty", enums.INDEXED_VALUE_TYPE_KEYWORD},
	{"LatchkeyState", enums.INDEXED_VALUE_TYPE_KEYWORD},
	{"LatchkeyNextDeadline", enums.INDEXED_VALUE_TYPE_DATETIME},
}

// ensureNamespace makes sure of the namespace and of its search attributes, and
// changes nothing else in a namespace that exists.
func ensureNamespace(ctx context.Context, login postgres.Login, logger *logger) error {
	serializer := serialization.NewSerializer()
	factory := temporalpersistence.NewFactory(*database(login, mainDatabase), resolver.NewNoopResolver(),
		clusterName, logger, metrics.NoopMetricsHandler, serializer)
	defer factory.Close()
	store, err := factory.NewMetadataStore()
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	manager := persistence.NewMetadataManagerImpl(store, serializer, logger, clusterName)
	defer manager.Close()

	existing, err := manager.GetNamespace(ctx, &persistence.GetNamespaceRequest{Name: Namespace})
	var none *serviceerror.NamespaceNotFound
	switch {
	case errors.As(err, &none):
		return createNamespace(ctx, manager)
	case err != nil:
		return fmt.Errorf("look for it: %w", err)
	}
	return completeNamespace(ctx, manager, existing)
}

func createNamespace(ctx context.Context, manager persistence.MetadataManager) error {
	aliases, _, err := withSearchAttributes(nil)
	if err != nil {
		return err
	}
	_, err = manager.CreateNamespace(ctx, &persistence.CreateNamespaceRequest{Namespace: &persistencespb.NamespaceDetail{
		Info: &persistencespb.NamespaceInfo{
			Id:          uuid.NewString(),
			Name:        Namespace,
			State:       enums.NAMESPACE_STATE_REGISTERED,
			Description: "Latchkey's invitations, reservations and panels",
		},
		Config: &persistencespb.NamespaceConfig{
			Retention:                    durationpb.New(retention),
			HistoryArchivalState:         enums.ARCHIVAL_STATE_DISABLED,
			VisibilityArchivalState:      enums.ARCHIVAL_STATE_DISABLED,
			CustomSearchAttributeAliases: aliases,
		},
		ReplicationConfig: &persistencespb.NamespaceReplicationConfig{
			ActiveClusterName: clusterName,
			Clusters:          []string{clusterName},
		},
		FailoverNotificationVersion: -1, // never failed over
	}})
	if err != nil {
		return fmt.Errorf("create it: %w", err)
	}
	return nil
}

func completeNamespace(ctx context.Context, manager persistence.MetadataManager, existing *persistence.GetNamespaceResponse) error {
	aliases, added, err := withSearchAttributes(existing.Namespace.Config.CustomSearchAttributeAliases)
	if err != nil || !added {
		return err
	}
	metadata, err := manager.GetMetadata(ctx)
	if err != nil {
		return fmt.Errorf("read the namespaces' version: %w", err)
	}
	existing.Namespace.Config.CustomSearchAttributeAliases = aliases
	existing.Namespace.ConfigVersion++
	err = manager.UpdateNamespace(ctx, &persistence.UpdateNamespaceRequest{
		Namespace:           existing.Namespace,
		IsGlobalNamespace:   existing.IsGlobalNamespace,
		NotificationVersion: metadata.NotificationVersion,
	})
	if err != nil {
		return fmt.Errorf("add its search attributes: %w", err)
	}
	return nil
}

// withSearchAttributes completes the names of columns, and says whether any was
// missing. In a SQL database the visibility table has columns in store for each
// type ("Keyword01", …), and a search attribute is the name of one of them.
func withSearchAttributes(present map[string]string) (aliases map[string]string, added bool, err error) {
	aliases = map[string]string{}
	column := map[string]string{}
	for col, name := range present {
		aliases[col], column[name] = name, col
	}
	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	for _, attribute := range searchAttributes {
		if _, has := column[attribute.name]; has {
			continue
		}
		free := ""
		for n := 1; free == ""; n++ {
			candidate := fmt.Sprintf("%s%02d", attribute.kind, n)
			if kind, exists := columns[candidate]; !exists || kind != attribute.kind {
				return nil, false, fmt.Errorf("no column is left for the search attribute %s", attribute.name)
			}
			if _, used := aliases[candidate]; !used {
				free = candidate
			}
		}
		aliases[free], added = attribute.name, true
	}
	return aliases, added, nil
}
