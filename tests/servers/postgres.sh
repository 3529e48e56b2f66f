#!/usr/bin/env bash
# A PostgreSQL server of Debian for the tests of the store, on loopback only, with passwords (SCRAM).
#
#   tests/servers/postgres.sh install DIR   installs the server's package, unless it is there
#   tests/servers/postgres.sh start DIR     makes a cluster in DIR and starts it; prints KEY=VALUE lines
#   tests/servers/postgres.sh stop DIR      ends what start began, by its pid and start time
#   tests/servers/postgres.sh restart DIR   kills the server as a crash would, and starts it again
#
# IDENTITY_SYNC_POSTGRES_PORT chooses the port (55439). As root the server runs as the user postgres, else as who calls.
set -euo pipefail

port=${IDENTITY_SYNC_POSTGRES_PORT:-55439}
command=${1:-} dir=${2:-}
say() { printf 'postgres: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
[ -n "$dir" ] || die "usage: $0 install|start|stop|restart DIR"
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
self=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$(basename "${BASH_SOURCE[0]}")

bin() { # the folder of the newest server that is installed
  local newest
  newest=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
  [ -n "$newest" ] || return 1
  dirname "$newest"
}

as_server() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

# Field 22 of /proc/PID/stat, counted behind the name: the start time, so that a pid that is used again is never ours.
started() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  [ "$1" != Z ] || return 1
  echo "${20}"
}

pid_of() { # prints the pid while the server that start began still runs
  local pid time
  [ -r "$dir/server" ] || return 1
  read -r pid time <"$dir/server" || return 1
  [ -n "$pid" ] && [ -n "$time" ] && [ "$(started "$pid")" = "$time" ] || return 1
  echo "$pid"
}

install() {
  bin >/dev/null && { say "already installed"; return; }
  [ "$(id -u)" = 0 ] || die "the server is not installed, and only root can install it"
  # The package would make and start a cluster of its own; that is not ours to have.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    printf 'create_main_cluster = false\n' >/etc/postgresql-common/createcluster.conf
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >&2
  apt-get install -q -y --no-install-recommends postgresql >&2
  bin >/dev/null || die "no server after installing it"
}

# A folder that the server's user can reach; DIR itself may lie below one that only its owner may enter.
cluster() {
  if as_server test -x "$dir" 2>/dev/null; then echo "$dir/cluster"; return; fi
  local sum
  sum=$(printf '%s' "$dir" | cksum | cut -d ' ' -f 1)
  echo "/var/tmp/identity-sync-postgres-$sum"
}

launch() { # DATA PORT
  as_server "$(bin)/pg_ctl" -D "$1" -l "$1/log" -w -t 60 -s start \
    -o "-p $2 -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=100 -c log_statement=all" >&2 ||
    { as_server tail -n 20 "$1/log" >&2; die "the server does not start"; }
  local pid
  pid=$(as_server head -n 1 "$1/postmaster.pid")
  printf '%s %s\n' "$pid" "$(started "$pid")" >"$dir/server"
}

start() {
  mkdir -p "$dir"
  chmod a+x "$dir"
  local data password
  if ! pid_of >/dev/null; then
    data=$(cluster)
    if [ ! -e "$data/PG_VERSION" ]; then
      ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || die "port $port is taken; set IDENTITY_SYNC_POSTGRES_PORT"
      password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
      (umask 077 && printf '%s\n' "$password" >"$dir/password")
      as_server mkdir -p "$(dirname "$data")" 2>/dev/null || true
      if [ "$(id -u)" = 0 ]; then mkdir -p "$data" && chown postgres "$data" && chmod 700 "$data"; fi
      local file=$data.password
      (umask 077 && cp "$dir/password" "$file")
      [ "$(id -u)" != 0 ] || chown postgres "$file"
      as_server "$(bin)/initdb" -D "$data" -U postgres -A scram-sha-256 --pwfile="$file" -E UTF8 --locale=C.UTF-8 >&2
      rm -f "$file"
    fi
    printf '%s\n' "$port" >"$dir/port"
    printf '%s\n' "$data" >"$dir/data"
    launch "$data" "$port"
  fi
  printf 'POSTGRES_URL="host=127.0.0.1 port=%s user=postgres password=%s dbname=postgres connect_timeout=5"\n' \
    "$(cat "$dir/port")" "$(cat "$dir/password")"
  printf 'POSTGRES_LOG=%s\n' "$(cat "$dir/data")/log"
  printf 'POSTGRES_RESTART="%s restart %s"\n' "$self" "$dir"
}

stop() {
  local pid data
  if pid=$(pid_of); then
    kill -INT "$pid"
    for _ in $(seq 100); do pid_of >/dev/null || break; sleep 0.1; done
    ! pid_of >/dev/null || die "the server does not stop"
  fi
  [ -r "$dir/data" ] || return 0
  data=$(cat "$dir/data")
  # Only a cluster that start made.
  [ -e "$data/PG_VERSION" ] && [ -e "$dir/password" ] && rm -rf "$data"
  rm -f "$dir/server" "$dir/port" "$dir/data" "$dir/password"
}

restart() {
  local pid
  pid=$(pid_of) || die "the server does not run"
  # Without a chance to tidy up: what was answered must survive that.
  kill -QUIT "$pid"
  for _ in $(seq 300); do pid_of >/dev/null || break; sleep 0.1; done
  ! pid_of >/dev/null || die "the server does not stop"
  launch "$(cat "$dir/data")" "$(cat "$dir/port")"
}

case $command in
  install | start | stop | restart) "$command" ;;
  *) die "usage: $0 install|start|stop|restart DIR" ;;
esac
