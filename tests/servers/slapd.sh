#!/usr/bin/env bash
# OpenLDAP's server for the tests of the LDAP source: install | start | stop, each with a folder. The tests start servers of their own
# from it, since each wants another directory; so `start` only says where things are.
set -euo pipefail
command=${1:?install, start or stop} dir=$(realpath -m "${2:?a folder}")
case $command in
  install)
    if [ ! -x /usr/sbin/slapd ]; then
      # Debian would start it on all addresses where it can.
      guard=0
      if [ ! -e /usr/sbin/policy-rc.d ]; then
        guard=1
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
      fi
      apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 || true
      code=0
      DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends slapd ldap-utils >/dev/null 2>&1 || code=$?
      [ "$guard" = 0 ] || rm -f /usr/sbin/policy-rc.d
      [ "$code" = 0 ] || { echo "slapd cannot be installed" >&2; exit 1; }
    fi ;;
  start)
    mkdir -p "$dir"
    printf 'SLAPD=%q\nSLAPADD=%q\nSLAPD_DIR=%q\n' /usr/sbin/slapd /usr/sbin/slapadd "$dir" ;;
  stop) rm -rf "$dir" ;;
  *) echo "unknown command: $command" >&2; exit 2 ;;
esac
