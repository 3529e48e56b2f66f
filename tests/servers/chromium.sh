#!/usr/bin/env bash
# The browser in which the tests open a page: install | start | stop, each with a folder. Each test starts a browser of its own, so
# `start` only says where things are.
set -euo pipefail
command=${1:?install, start or stop} dir=$(realpath -m "${2:?a folder}")
browser() { command -v chromium || command -v chromium-browser; }
case $command in
  install)
    if ! browser >/dev/null; then
      [ "$(id -u)" = 0 ] || { echo "chromium is not installed, and only root can install it" >&2; exit 1; }
      apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 || true
      DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends chromium >&2
    fi
    browser >/dev/null ;;
  start)
    mkdir -p "$dir"
    printf 'CHROMIUM=%q\nCHROMIUM_DIR=%q\n' "$(browser)" "$dir" ;;
  stop) rm -rf "$dir" ;;
  *) echo "unknown command: $command" >&2; exit 2 ;;
esac
