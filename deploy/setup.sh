#!/usr/bin/env bash
# Installs what Latchkey needs and this machine does not have: PostgreSQL's server
# programs, and with the word "test" a C compiler, which the race detector needs. It
# starts nothing; `latchkey up` runs a private cluster of its own.
set -euo pipefail

have_postgres() {
  command -v postgres >/dev/null 2>&1 && command -v initdb >/dev/null 2>&1 && return 0
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && return 0
  compgen -G '/opt/homebrew/opt/postgresql*/bin/postgres' >/dev/null && return 0
  compgen -G '/usr/local/opt/postgresql*/bin/postgres' >/dev/null
}

# have_c asks for the headers too: Debian's gcc comes without those of the C library.
have_c() {
  echo '#include <stdlib.h>' | "$(go env CC)" -E -x c - >/dev/null 2>&1
}

if ! command -v go >/dev/null 2>&1; then
  echo "Go is missing: install Go 1.26.8 or newer and run this again." >&2
  exit 1
fi

packages=() names=()
if ! have_postgres; then
  packages+=(postgresql) names+=("PostgreSQL's server programs (14 or newer)")
fi
if [ "${1:-}" = test ] && ! have_c; then
  packages+=(gcc libc6-dev) names+=("a C compiler (for the race detector)")
fi
[ ${#packages[@]} -eq 0 ] && exit 0
missing=$(printf ', %s' "${names[@]}")
missing=${missing:2}

if ! command -v apt-get >/dev/null 2>&1; then
  echo "Missing: $missing. Install with this system's package manager and run this again." >&2
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "Missing: $missing. Only root can install here: run 'apt-get install ${packages[*]}' as root." >&2
    exit 1
  fi
  as_root=(sudo)
fi

# apt says what it does only when it fails.
apt() {
  local said
  said=$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" 2>&1 </dev/null) && return 0
  printf '%s\n' "$said" >&2
  echo "apt-get $* failed: see above." >&2
  exit 1
}

echo "Installing with apt-get: ${packages[*]}"
apt update
if ! have_postgres; then
  # Debian would make and start a cluster that nobody here uses.
  apt install -y postgresql-common
  "${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
  echo "create_main_cluster = false" | "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/latchkey.conf >/dev/null
fi
apt install -y "${packages[@]}"
have_postgres || { echo "PostgreSQL was installed, but its programs were not found in /usr/lib/postgresql." >&2; exit 1; }
