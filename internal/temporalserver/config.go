package temporalserver

import (
	"fmt"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	// The plugin registers itself under pluginName.
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"

	"latchkey/internal/postgres"
)

const (
	pluginName         = "postgres12_pgx"
	mainDatabase       = "temporal"
	visibilityDatabase = "temporal_visibility"

	clusterName = "active" // written into the database at the first start

	// historyShards can never change in a database that exists. One shard halves the
	// speed of two cores, 64 gain nothing over 16.
	historyShards = 16
)

// newTemporal assembles the server. Nothing runs yet.
func newTemporal(login postgres.Login, p ports, logger *logger) (temporal.Server, error) {
	cfg := serverConfig(login, p)
	server, err := temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithLogger(logger),
		temporal.WithStaticHosts(map[primitives.ServiceName]static.Hosts{
			primitives.FrontendService: static.SingleLocalHost(localAddr(p.frontend)),
			primitives.HistoryService:  static.SingleLocalHost(localAddr(p.history)),
			primitives.MatchingService: static.SingleLocalHost(localAddr(p.matching)),
			primitives.WorkerService:   static.SingleLocalHost(localAddr(p.worker)),
		}),
		temporal.WithDynamicConfigClient(dynamicConfig()),
		temporal.WithCustomMetricsHandler(metrics.NoopMetricsHandler),
		// Whoever can connect to 127.0.0.1 may do anything, as with Temporal's own
		// development server.
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("assemble Temporal: %w", err)
	}
	return server, nil
}

func serverConfig(login postgres.Login, p ports) *config.Config {
	const disabled = "disabled"
	return &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     mainDatabase,
			VisibilityStore:  visibilityDatabase,
			NumHistoryShards: historyShards,
			DataStores: map[string]config.DataStore{
				mainDatabase:       {SQL: database(login, mainDatabase)},
				visibilityDatabase: {SQL: database(login, visibilityDatabase)},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: localAddr(p.frontend)},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(p.frontend),
			string(primitives.HistoryService):  service(p.history),
			string(primitives.MatchingService): service(p.matching),
			string(primitives.WorkerService):   service(p.worker),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: disabled},
			Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
		PublicClient: config.PublicClient{HostPort: localAddr(p.frontend)},
	}
}

func service(port int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: localhost}}
}

// database tells Temporal how to connect. Its DSN has no place for a unix socket
// but takes attributes, and the attribute "host" wins over the address. Each of
// the four services has a pool of its own on each database.
func database(login postgres.Login, name string) *config.SQL {
	return &config.SQL{
		PluginName:   pluginName,
		ConnectAddr:  "localhost:" + login.Port,
		User:         login.User,
		Password:     login.Password,
		DatabaseName: name,
		ConnectAttributes: map[string]string{
			"host": login.SocketDir,
			"port": login.Port,
		},
		MaxConns:        16,
		MaxIdleConns:    4,
		MaxConnLifetime: time.Hour,
	}
}

// dynamicConfig holds what is not Temporal's default, each with its reason.
func dynamicConfig() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		// The default of 20 reads a second makes a burst of timers or of new
		// workflows wait in line although the machine is idle.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   1000,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      1000,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 1000,
		// A first task that comes back with the call that caused it saves a round
		// through matching.
		dynamicconfig.EnableEagerWorkflowStart.Key():     true,
		dynamicconfig.EnableActivityEagerExecution.Key(): true,
		// Partitions spread a task queue over machines; here they cost forwarding.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		// Nothing is reported to anybody.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
}
