#!/usr/bin/env bash
# Installs what Latchkey needs and this machine does not have: PostgreSQL's server
# programs. It starts nothing; `latchkey up` runs a private cluster of its own.
set -euo pipefail

have_postgres() {
  command -v postgres >/dev/null 2>&1 && command -v initdb >/dev/null 2>&1 && return 0
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && return 0
  compgen -G '/opt/homebrew/opt/postgresql*/bin/postgres' >/dev/null && return 0
  compgen -G '/usr/local/opt/postgresql*/bin/postgres' >/dev/null
}

if ! command -v go >/dev/null 2>&1; then
  echo "Go is missing: install Go 1.26.8 or newer and run this again." >&2
  exit 1
fi

have_postgres && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "PostgreSQL's server programs are missing: install PostgreSQL 14 or newer with this system's package manager and run this again." >&2
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "PostgreSQL is missing and only root can install it: run 'apt-get install postgresql' as root." >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing PostgreSQL with apt-get"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
# Debian would make and start a cluster that nobody here uses.
"${as_root[@]}" apt-get install -y -qq postgresql-common >/dev/null
"${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
echo "create_main_cluster = false" | "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/latchkey.conf >/dev/null
"${as_root[@]}" apt-get install -y -qq postgresql >/dev/null
have_postgres || { echo "PostgreSQL was installed, but its programs were not found in /usr/lib/postgresql." >&2; exit 1; }
