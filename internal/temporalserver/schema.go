package temporalserver

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/server/tools/common/schema"
	temporalsql "go.temporal.io/server/tools/sql"

	"latchkey/internal/postgres"
)

// prepareDatabases leaves both databases with the schema of this release and the
// namespace in them. It is quick when there is nothing to do.
func prepareDatabases(ctx context.Context, pg *postgres.Cluster, logger *logger) error {
	for database, schemaName := range map[string]string{
		mainDatabase:       "postgresql/v12/temporal",
		visibilityDatabase: "postgresql/v12/visibility",
	} {
		if err := prepareDatabase(ctx, pg, database, schemaName, logger); err != nil {
			return fmt.Errorf("prepare the database %s: %w", database, err)
		}
	}
	if err := ensureNamespace(ctx, pg.Login(), logger); err != nil {
		return fmt.Errorf("enter the namespace %s: %w", Namespace, err)
	}
	return nil
}

// prepareDatabase makes the database if there is none, and brings its schema to
// the newest version. A first set-up that was killed half way is begun anew: it
// takes place under another name. An upgrade that was killed half way is gone on
// with, for which Temporal's own tool is made.
func prepareDatabase(ctx context.Context, pg *postgres.Cluster, name, schemaName string, logger *logger) error {
	conn, err := pgx.Connect(ctx, pg.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is lost with it
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil {
		return fmt.Errorf("look for it: %w", err)
	}
	if exists {
		return withSchemaTool(pg.Login(), name, logger, func(tool *temporalsql.Connection) error {
			return upgrade(tool, schemaName, logger)
		})
	}
	unfinished := name + "_unfinished"
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+unfinished+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("remove a half made one: %w", err)
	}
	if err := pg.EnsureDatabase(ctx, unfinished); err != nil {
		return err
	}
	err = withSchemaTool(pg.Login(), unfinished, logger, func(tool *temporalsql.Connection) error {
		return setUp(tool, name, schemaName, logger)
	})
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+unfinished+" RENAME TO "+name); err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	return nil
}

func withSchemaTool(login postgres.Login, name string, logger *logger, do func(*temporalsql.Connection) error) error {
	tool, err := temporalsql.NewConnection(database(login, name), logger)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer tool.Close()
	return do(tool)
}

// setUp makes the schema in an empty database that will be renamed to name, by
// which the table of versions knows it.
func setUp(tool *temporalsql.Connection, name, schemaName string, logger *logger) error {
	first := &schema.SetupConfig{InitialVersion: "0.0"}
	if err := schema.NewSetupSchemaTask(tool, first, logger).Run(); err != nil {
		return fmt.Errorf("set up the schema: %w", err)
	}
	if err := upgrade(tool, schemaName, logger); err != nil {
		return err
	}
	if err := tool.Exec("UPDATE schema_version SET db_name = $1", name); err != nil {
		return fmt.Errorf("name the schema's version: %w", err)
	}
	return nil
}

func upgrade(tool *temporalsql.Connection, schemaName string, logger *logger) error {
	if err := schema.NewUpdateSchemaTask(tool, &schema.UpdateConfig{SchemaName: schemaName}, logger).Run(); err != nil {
		// Some distributions leave the extensions that come with PostgreSQL in a
		// package of their own.
		if strings.Contains(err.Error(), "btree_gin") {
			return fmt.Errorf("PostgreSQL's extension btree_gin is missing: install the package postgresql-contrib and start again: %w", err)
		}
		return fmt.Errorf("upgrade the schema: %w", err)
	}
	return nil
}
