#!/usr/bin/env bash
# Run once by the postgres image: the engine's own role and database.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -v password="$LATCHKEY_DB_PASSWORD" --username postgres <<'SQL'
CREATE ROLE latchkey LOGIN PASSWORD :'password';
CREATE DATABASE latchkey OWNER latchkey;
SQL
