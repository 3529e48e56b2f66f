#!/usr/bin/env bash
# Two servers that speak the APIs of AWS IAM Identity Center on loopback, both in memory, and a proxy before each that spoils
# answers as it is told: moto, and the identitystore and sso-admin services of fakecloud in a process of their own.
#
#   aws.sh install DIR   a Python environment below DIR, and `idc`, which Cargo builds; nothing to do when they are there
#   aws.sh start DIR     starts all and prints AWS_MOTO_URL, AWS_IDC_URL, AWS_MOTO_FAULT_URL and AWS_IDC_FAULT_URL
#   aws.sh stop DIR      ends what start began
#
# An identity store is there as soon as it is named: each test takes an id of its own. Ports: AWS_MOTO_PORT (5055),
# AWS_IDC_PORT (5077), AWS_MOTO_FAULT_PORT (5098), AWS_IDC_FAULT_PORT (5099).
#
# fakecloud is under the AGPL: it is built below DIR from its registry package, runs as a process of its own, and no part of it
# comes into this project.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -eq 2 ] || { sed -n '2,/^set -/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2; }
mkdir -p "$2"
dir=$(cd "$2" && pwd)
run=$dir/run
. "$here/lib.sh"

PYTHON="moto==5.2.5 flask flask-cors microburst==0.10.0"
FAKECLOUD=0.51.0
moto=${AWS_MOTO_PORT:-5055} idc=${AWS_IDC_PORT:-5077}
moto_fault=${AWS_MOTO_FAULT_PORT:-5098} idc_fault=${AWS_IDC_FAULT_PORT:-5099}

install() {
  if [ ! -x "$dir/venv/bin/python" ]; then
    command -v python3 >/dev/null || die "python3 is missing"
    python3 -m venv "$dir/venv"
  fi
  # moto alone with Flask: half the size of moto[server], and all that these two services need.
  if [ "$(cat "$dir/installed-python" 2>/dev/null)" != "$PYTHON" ]; then
    # shellcheck disable=SC2086
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check $PYTHON
    printf '%s' "$PYTHON" >"$dir/installed-python"
  fi
  if [ "$(cat "$dir/installed-idc" 2>/dev/null)" != "$FAKECLOUD" ] || [ ! -x "$dir/idc" ]; then
    command -v cargo >/dev/null || die "cargo is missing"
    write_idc "$dir/idc-src"
    # Without optimisation: built twice as fast, and fast enough for some thousand users.
    cargo build --quiet --manifest-path "$dir/idc-src/Cargo.toml" --target-dir "$dir/idc-target" 9>&-
    cp "$dir/idc-target/debug/idc" "$dir/idc.new"
    mv "$dir/idc.new" "$dir/idc"
    rm -rf "$dir/idc-target"
    printf '%s' "$FAKECLOUD" >"$dir/installed-idc"
  fi
}

write_idc() { # FOLDER
  mkdir -p "$1/src"
  cat >"$1/Cargo.toml" <<TOML
[package]
name = "idc"
version = "0.0.0"
edition = "2021"
publish = false
license = "AGPL-3.0-or-later"

[dependencies]
fakecloud-core = "=$FAKECLOUD"
fakecloud-identitystore = "=$FAKECLOUD"
fakecloud-ssoadmin = "=$FAKECLOUD"
axum = "0.8"
parking_lot = "0.12"
tokio = { version = "1", features = ["rt-multi-thread", "macros", "net"] }

[profile.dev]
debug = false
incremental = false

[workspace]
TOML
  cat >"$1/src/main.rs" <<'RUST'
//! Serves fakecloud's identitystore and sso-admin alone, on loopback.
use axum::{routing::get, Extension, Router};
use fakecloud_core::{dispatch, multi_account::MultiAccountState, registry::ServiceRegistry};
use fakecloud_identitystore::{IdentityStoreService, SharedIdentityStoreState};
use fakecloud_ssoadmin::{SharedSsoAdminState, SsoAdminService};
use parking_lot::RwLock;
use std::{net::SocketAddr, sync::Arc};

#[tokio::main]
async fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("usage: idc PORT");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let (account, region, url) = ("000000000000", "us-east-1", format!("http://{address}"));
    let center: SharedSsoAdminState = Arc::new(RwLock::new(MultiAccountState::new(account, region, &url)));
    let stores: SharedIdentityStoreState = Arc::new(RwLock::new(MultiAccountState::new(account, region, &url)));
    let instances = center.clone();
    let stores = IdentityStoreService::new(stores).with_instance_store_lookup(Arc::new(move |account: &str| {
        let held = instances.read();
        let of = held.get(account);
        of.map(|of| of.instances.values().map(|one| one.identity_store_id.clone()).collect()).unwrap_or_default()
    }));
    let mut services = ServiceRegistry::new();
    services.register(Arc::new(stores));
    services.register(Arc::new(SsoAdminService::new(center)));
    let app = Router::new()
        .route("/_health", get(|| async { "ok" }))
        .fallback(dispatch::dispatch)
        .layer(Extension(Arc::new(services)))
        .layer(Extension(Arc::new(dispatch::DispatchConfig::new(region, account))));
    let listener = tokio::net::TcpListener::bind(address).await.expect("bind");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await.expect("serve");
}
RUST
}

answers() { # URL
  "$dir/venv/bin/python" - "$1" <<'PY'
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.exit(opener.open(sys.argv[1], timeout=5).status != 200)
PY
}

start_one() { # NAME PORT COMMAND...
  local name=$1 port=$2
  shift 2
  alive "$name" >/dev/null && return 0
  ! port_open "$port" || die "port $port is taken by a process that this script did not start"
  launch "$name" env AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 \
    PYTHONUNBUFFERED=1 "$@"
}

start() {
  [ -f "$dir/installed-python" ] && [ -x "$dir/idc" ] || die "not installed in $dir"
  local bin=$dir/venv/bin host=127.0.0.1
  start_one moto "$moto" "$bin/moto_server" -H "$host" -p "$moto"
  start_one idc "$idc" "$dir/idc" "$idc"
  start_one moto-fault "$moto_fault" "$bin/microburst" --host "$host" --port "$moto_fault" --upstream "http://$host:$moto"
  start_one idc-fault "$idc_fault" "$bin/microburst" --host "$host" --port "$idc_fault" --upstream "http://$host:$idc"
  wait_for moto 60 answers "http://$host:$moto/moto-api/data.json"
  wait_for idc 60 answers "http://$host:$idc/_health"
  wait_for moto-fault 60 answers "http://$host:$moto_fault/_microburst/rules"
  wait_for idc-fault 60 answers "http://$host:$idc_fault/_microburst/rules"
  printf 'AWS_MOTO_URL=http://%s:%s\nAWS_IDC_URL=http://%s:%s\n' "$host" "$moto" "$host" "$idc"
  printf 'AWS_MOTO_FAULT_URL=http://%s:%s\nAWS_IDC_FAULT_URL=http://%s:%s\n' "$host" "$moto_fault" "$host" "$idc_fault"
}

stop() {
  for name in idc-fault moto-fault idc moto; do halt "$name"; done
}

only_one "$dir"
case $1 in
  install | start | stop) "$1" ;;
  *) die "unknown command: $1" ;;
esac
