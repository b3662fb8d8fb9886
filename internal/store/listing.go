package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"latchkey/internal/directory"
)

// one reads the only row of a query, or says what was not found.
func one[T any](rows pgx.Rows, err error, scan pgx.RowToFunc[T], what, id string) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	value, err := pgx.CollectExactlyOneRow(rows, scan)
	if isNoRows(err) {
		return none, directory.NotFound(what, id)
	}
	return value, err
}

// list reads a page of an account's things, newest first. query ends in a WHERE
// clause whose $1 is the account; a property narrows it.
func list[T any](ctx context.Context, s *Store, query, accountID, propertyID string, page Page, scan pgx.RowToFunc[T], id func(T) string) ([]T, string, error) {
	after, err := page.after()
	if err != nil {
		return nil, "", err
	}
	arguments := []any{accountID}
	narrow := func(condition, value string) {
		if value != "" {
			arguments = append(arguments, value)
			query += fmt.Sprintf(condition, len(arguments))
		}
	}
	narrow(" AND property_id = $%d", propertyID)
	narrow(" AND id < $%d", after)
	limit := page.limit()
	arguments = append(arguments, limit+1)
	rows, err := s.pool.Query(ctx, query+fmt.Sprintf(" ORDER BY id DESC LIMIT $%d", len(arguments)), arguments...)
	if err != nil {
		return nil, "", err
	}
	values, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, "", err
	}
	values, next := cut(values, limit, id)
	return values, next, nil
}
