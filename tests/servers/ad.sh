#!/usr/bin/env bash
# A domain controller with the directory of ldap/corp.ldif for the tests of the LDAP source: install | start | stop, each with
# a folder. `start` prints the variables that the tests read. ad-dc.sh does the work.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command=${1:?install, start or stop} dir=${2:?a folder}
# Samba keeps sockets in there, whose paths are short.
dir=$(realpath -m "$dir")
ip=${AD_IP:-127.0.0.9}
dc() { "$here/ad-dc.sh" "$@" --dir "$dir"; }
case $command in
  install) dc install ;;
  start)
    # A fresh one each time: the tests change it.
    variables=$(dc up --fresh --ip "$ip")
    dc seed "$here/ldap/corp.ldif"
    if [ ! -f "$dir.bulk.ldif" ]; then
      python3 - > "$dir.bulk.ldif.new" <<'P'
base, users = "DC=corp,DC=example,DC=com", 10000
print(f"dn: OU=Bulk,{base}\nobjectClass: organizationalUnit\n")
names = [f"CN=Bulk User {i:05d},OU=Bulk,{base}" for i in range(users)]
for i, name in enumerate(names):
    print(f"dn: {name}\nobjectClass: user\nsAMAccountName: bulk{i:05d}\nmail: bulk{i:05d}@corp.example.com\nuserAccountControl: 544\n")
for g in range(500):
    print(f"dn: CN=bulkgrp-{g},OU=Bulk,{base}\nobjectClass: group\nsAMAccountName: bulkgrp-{g}\ngroupType: -2147483646")
    for member in (names[:4000] if g == 0 else names[g * 20:g * 20 + 40]):
        print(f"member: {member}")
    print()
P
      mv "$dir.bulk.ldif.new" "$dir.bulk.ldif"
    fi
    dc seed "$dir.bulk.ldif" --offline
    dc grant svc-idsync
    printf '%s\n' "$variables"
    # For the tests that stop it and start it again, and for an account without rights.
    printf 'AD_SCRIPT=%q\nAD_IP=%q\n' "$here/ad-dc.sh" "$ip"
    printf 'AD_SYNC_ACCOUNT=svc-idsync@corp.example.com\nAD_SYNC_PASSWORD=Svc-IdSync-Passw0rd-1\n'
    printf 'AD_PLAIN_ACCOUNT=avogel@corp.example.com\nAD_PLAIN_PASSWORD=Corp-Passw0rd-1\n' ;;
  stop) dc down ;;
  *) echo "unknown command: $command" >&2; exit 2 ;;
esac
