#!/usr/bin/env bash
# Two SCIM 2.0 servers on loopback, both in memory: scim2-server, which is strict, and scimmy-routers, which is lax, over a
# small store of our own (`scim/server.mjs`).
#
#   scim.sh install DIR   a Python environment and npm packages below DIR; nothing to do when they are there
#   scim.sh start DIR     starts both, and TLS before the first; prints SCIM_URL, SCIM_TOKEN, SCIMMY_URL, SCIM_TLS_URL and
#                         SCIM_CA_FILE, the certificate of the authority to trust
#   scim.sh stop DIR      ends what start began
#
# Each address is that of a server; `/NAME/v2` below it is a store of its own, empty at first. Ports: SCIM_PORT (8091),
# SCIMMY_PORT (8092), SCIM_TLS_PORT (8093).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -eq 2 ] || { sed -n '2,/^set -/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2; }
mkdir -p "$2"
dir=$(cd "$2" && pwd)
run=$dir/run
. "$here/lib.sh"

SCIM2_SERVER=0.8.3
# Express 5 gives the routers a query that they do not understand: startIndex and count are ignored then.
PACKAGES="scimmy@1.3.5 scimmy-routers@1.3.2 express@4.21.2"
token=test-token
strict=${SCIM_PORT:-8091} lax=${SCIMMY_PORT:-8092} tls=${SCIM_TLS_PORT:-8093}

install() {
  if [ ! -x "$dir/venv/bin/python" ]; then
    command -v python3 >/dev/null || die "python3 is missing"
    python3 -m venv "$dir/venv"
  fi
  if [ "$(cat "$dir/installed-python" 2>/dev/null)" != "$SCIM2_SERVER" ]; then
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check "scim2-server==$SCIM2_SERVER"
    printf '%s' "$SCIM2_SERVER" >"$dir/installed-python"
  fi
  mkdir -p "$dir/node"
  if [ "$(cat "$dir/installed-node" 2>/dev/null)" != "$PACKAGES" ]; then
    command -v npm >/dev/null || die "npm is missing"
    [ -f "$dir/node/package.json" ] || printf '{"private":true,"type":"module"}\n' >"$dir/node/package.json"
    # shellcheck disable=SC2086
    (cd "$dir/node" && npm install --silent --no-audit --no-fund --save-exact $PACKAGES >&2)
    printf '%s' "$PACKAGES" >"$dir/installed-node"
  fi
  certificates
}

certificates() { # an authority, and a certificate for localhost alone: by its address the server must not be trusted
  [ -f "$dir/tls/server.pem" ] && return 0
  command -v openssl >/dev/null || die "openssl is missing"
  mkdir -p "$dir/tls"
  (
    cd "$dir/tls"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -keyout ca.key -out ca.pem \
      -subj "/CN=test authority" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj "/CN=localhost"
    printf 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n' >server.ext
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile server.ext -out server.new
    mv server.new server.pem
  ) >"$dir/tls.log" 2>&1 || die "no certificates: see $dir/tls.log"
}

answers() { # URL: 200 with the token
  "$dir/venv/bin/python" - "$1" "$token" <<'PY'
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.exit(opener.open(request, timeout=5).status != 200)
PY
}

start() {
  [ -f "$dir/installed-python" ] && [ -f "$dir/installed-node" ] || die "not installed in $dir"
  if ! alive scim2 >/dev/null; then
    ! port_open "$strict" || die "port $strict is taken by a process that this script did not start"
    launch scim2 env PYTHONUNBUFFERED=1 "$dir/venv/bin/scim2-server" --hostname 127.0.0.1 --port "$strict" \
      --bearer-token "$token" --dynamic-tenants
  fi
  if ! alive scimmy >/dev/null; then
    ! port_open "$lax" || die "port $lax is taken by a process that this script did not start"
    # Modules are found from where the script lies.
    cp "$here/scim/server.mjs" "$dir/node/server.mjs"
    launch scimmy node "$dir/node/server.mjs" "$lax" "$token"
  fi
  if ! alive tls >/dev/null; then
    ! port_open "$tls" || die "port $tls is taken by a process that this script did not start"
    launch tls "$dir/venv/bin/python" "$here/scim/tls.py" "$tls" "$dir/tls/server.pem" "$dir/tls/server.key" "$strict"
  fi
  wait_for scim2 60 answers "http://127.0.0.1:$strict/start/v2/ServiceProviderConfig"
  wait_for scimmy 60 answers "http://127.0.0.1:$lax/start/v2/ServiceProviderConfig"
  wait_for tls 60 port_open "$tls"
  printf 'SCIM_TLS_URL=https://localhost:%s\nSCIM_CA_FILE=%s\n' "$tls" "$dir/tls/ca.pem"
  printf 'SCIM_URL=http://127.0.0.1:%s\nSCIM_TOKEN=%s\nSCIMMY_URL=http://127.0.0.1:%s\n' "$strict" "$token" "$lax"
}

stop() {
  halt tls
  halt scim2
  halt scimmy
}

only_one "$dir"
case $1 in
  install | start | stop) "$1" ;;
  *) die "unknown command: $1" ;;
esac
