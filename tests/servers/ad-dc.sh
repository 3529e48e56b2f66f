#!/usr/bin/env bash
# ad-dc.sh - a throwaway Samba Active Directory domain controller (LDAP only, loopback only) for tests.
#
#   ad-dc.sh install                 install the Debian packages it needs (root)
#   ad-dc.sh up     [options]        provision if needed, start, wait until LDAP answers; prints KEY=VALUE
#   ad-dc.sh seed FILE.ldif [--offline] [--force]
#                                    load an LDIF file (adds and changes); the same file is loaded once
#   ad-dc.sh grant ACCOUNT           give ACCOUNT what a read-only sync account needs: DirSync + deleted objects
#   ad-dc.sh deny ACCOUNT DN ACE     put a denial for ACCOUNT before all else at an object and what is below it; ACE is what
#                                    stands between OD;CI; and the account in SDDL: 'RP;GUID-OF-AN-ATTRIBUTE;', 'RPLCLO;;'
#   ad-dc.sh status                  exit 0: running and answering, 3: stopped, 1: running but not answering
#   ad-dc.sh env                     print the KEY=VALUE lines of a running controller again
#   ad-dc.sh down   [--purge]        stop it (and with --purge remove the directory)
#
# Options (every command takes --dir):
#   --dir D          state directory            (default $AD_DC_DIR, else ${TMPDIR:-/tmp}/ad-dc-UID)
#   --ip A           loopback address, 127.*    (default 127.0.0.1; another address = another controller)
#   --port N         LDAP port                  (default 389 for root, else 10389)
#   --tls-port N     LDAPS port                 (default --port + 247, so 636 / 10636)
#   --realm R        DNS realm                  (default CORP.EXAMPLE.COM)   } fixed once
#   --domain N       NetBIOS name               (default CORP)               } provisioned
#   --password P     Administrator's password   (default: random; or $AD_DC_PASSWORD) }
#   --recycle-bin    enable the AD Recycle Bin at provisioning
#   --strong-auth    refuse simple binds without TLS, as a hardened AD does
#   --max-runtime S  the controller ends itself after S seconds (default 7200, 0 = never)
#   --fresh          wipe the directory and provision again
#
# Starts one process, single-threaded, in the state directory; stops only that process (pid and start
# time are checked). Serves LDAP only: no DNS, Kerberos, SMB. Ports other than 389/636 need a C compiler
# (Samba's LDAP ports are fixed; a small preloaded shim moves them). No fsync: not crash-safe, by intent.
set -euo pipefail
umask 077
export LC_ALL=C

PROG=${0##*/}
say() { printf '%s: %s\n' "$PROG" "$*" >&2; }
die() { say "error: $*"; exit 1; }
usage() { sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; }

IP=127.0.0.1 PORT='' TLS_PORT='' REALM='' DOMAIN='' PASSWORD=${AD_DC_PASSWORD:-}
DIR=${AD_DC_DIR:-${TMPDIR:-/tmp}/ad-dc-$(id -u)}
RECYCLE=0 STRONG=0 MAXRT=7200 FRESH=0 PURGE=0 OFFLINE=0 FORCE=0 IP_SET=0
ARGS=()

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --dir|--ip|--port|--tls-port|--realm|--domain|--password|--max-runtime)
                [ $# -ge 2 ] || { say "$1 needs a value"; exit 2; } ;;&
            --dir) DIR=$2; shift 2 ;;
            --ip) IP=$2; IP_SET=1; shift 2 ;;
            --port) PORT=$2; shift 2 ;;
            --tls-port) TLS_PORT=$2; shift 2 ;;
            --realm) REALM=$2; shift 2 ;;
            --domain) DOMAIN=$2; shift 2 ;;
            --password) PASSWORD=$2; shift 2 ;;
            --max-runtime) MAXRT=$2; shift 2 ;;
            --recycle-bin) RECYCLE=1; shift ;;
            --strong-auth) STRONG=1; shift ;;
            --fresh) FRESH=1; shift ;;
            --purge) PURGE=1; shift ;;
            --offline) OFFLINE=1; shift ;;
            --force) FORCE=1; shift ;;
            -h|--help) usage; exit 0 ;;
            --*) say "unknown option $1"; exit 2 ;;
            *) ARGS+=("$1"); shift ;;
        esac
    done
    [[ $DIR == /* ]] || DIR=$PWD/$DIR
    DIR=${DIR%/}
    [[ $DIR =~ ^/[A-Za-z0-9._/+=@-]+$ ]] || die "--dir: use an absolute path of plain characters: '$DIR'"
    [ ${#DIR} -le 70 ] || die "--dir: path longer than 70 characters (unix sockets live in it): $DIR"
    [[ $IP =~ ^127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$ ]] || die "--ip: only loopback (127.x.y.z), got '$IP'"
    [[ $MAXRT =~ ^[0-9]+$ ]] || die "--max-runtime: not a number: '$MAXRT'"
    local p
    for p in "$PORT" "$TLS_PORT"; do
        [ -z "$p" ] || { [[ $p =~ ^[0-9]{1,5}$ ]] && [ "$p" -ge 1 ] && [ "$p" -le 65535 ]; } || die "not a port: '$p'"
    done
}

# ------------------------------------------------------------------ install
NEED="samba samba-tool ldbadd ldbmodify ldapsearch ldapmodify openssl"
missing() { local c; for c in $NEED; do command -v "$c" >/dev/null 2>&1 || printf '%s ' "$c"; done
    [ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import samba, ldb' 2>/dev/null || printf 'python3-samba '
    [ -f /usr/share/samba/setup/provision.ldif ] || printf 'samba-ad-provision '
    compgen -G '/usr/lib/*/samba/ldb/samba_dsdb.so' >/dev/null || printf 'samba-dsdb-modules '; }

cmd_install() {
    local m guard=0
    m=$(missing)
    [ -n "$m" ] || { say "nothing to install: $(samba -V)"; return 0; }
    [ "$(id -u)" = 0 ] || die "missing: $m- run '$PROG install' as root"
    command -v apt-get >/dev/null || die "missing: $m- and no apt-get here; install Samba's AD DC by hand"
    say "installing (missing: $m)"
    # Debian's samba starts smbd/nmbd on all addresses where it can: keep them from starting.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        guard=1
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
    fi
    local apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3) pkgs
    local log; log=$(mktemp)
    pkgs="samba samba-ad-provision samba-dsdb-modules samba-vfs-modules python3-samba ldb-tools ldap-utils openssl"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update >"$log" 2>&1 || { tail -5 "$log" >&2; say "apt-get update failed; trying with the lists there are"; }
    # shellcheck disable=SC2086
    "${apt[@]}" install --no-install-recommends $pkgs >>"$log" 2>&1 || { tail -20 "$log" >&2; die "apt-get install failed (log: $log)"; }
    # From Debian 13 on the 'samba' daemon is in samba-ad-dc.
    command -v samba >/dev/null || "${apt[@]}" install --no-install-recommends samba-ad-dc >>"$log" 2>&1 || true
    if [ "$guard" = 1 ]; then
        rm -f /usr/sbin/policy-rc.d; trap - EXIT
        if [ -d /run/systemd/system ]; then systemctl disable smbd nmbd samba-ad-dc >/dev/null 2>&1 || true; fi
    fi
    m=$(missing)
    [ -z "$m" ] || die "still missing after install: $m(log: $log)"
    rm -f "$log"
    say "installed: $(samba -V)"
}

# ------------------------------------------------------------------ state
proc_start() { # start time of a pid, field 22 of its stat; the name in field 2 may hold spaces
    local s; s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    s=${s##*) }; set -- $s; printf '%s' "${20}"; }
PID=
running() { # sets PID; true only if the process that this directory's 'up' started is alive
    local p s
    PID=
    [ -f "$DIR/run/ad-dc.pid" ] || return 1
    read -r p s <"$DIR/run/ad-dc.pid" || return 1
    [[ $p =~ ^[0-9]+$ ]] && [ "$(proc_start "$p")" = "$s" ] || return 1
    [ "$(readlink "/proc/$p/fd/1" 2>/dev/null)" = "$(readlink -f "$DIR")/log/samba.log" ] || return 1
    PID=$p
}
lock() { # one up/seed/down at a time for a directory
    mkdir -p "$(dirname "$DIR")"
    exec 9>"$DIR.lock" || die "cannot write $DIR.lock"
    flock -w 120 9 || die "another $PROG works on $DIR"
}
get() { sed -n "s/^$1=//p" "$DIR/settings" 2>/dev/null | head -1; }
base_dn() { local r=${1,,}; printf 'DC=%s' "${r//./,DC=}"; }
need_up() { running || die "not running: $DIR (run '$PROG up --dir $DIR' first)"; }
ldap() { # ldap TOOL ARGS: as Administrator, over LDAPS with the controller's own CA
    local t=$1; shift
    LDAPCONF=$DIR/ldap.conf timeout "${LDAP_TIMEOUT:-20}" "$t" -x -H "ldaps://$(get IP):$(get TLS_PORT)" \
        -D "administrator@$(get REALM | tr A-Z a-z)" -y "$DIR/admin.password" "$@" </dev/null; }
quote() { if [[ $1 =~ ^[A-Za-z0-9._:/=,@%+-]*$ ]]; then printf '%s' "$1"; else printf "'%s'" "${1//\'/\'\\\'\'}"; fi; }
print_env() {
    local r b; r=$(get REALM); b=$(base_dn "$r")
    printf '%s=%s\n' \
        AD_LDAP_URL "ldap://$(get IP):$(get PORT)" AD_LDAPS_URL "ldaps://$(get IP):$(get TLS_PORT)" \
        AD_BASE_DN "$b" AD_BIND_DN "CN=Administrator,CN=Users,$b" AD_BIND_UPN "administrator@${r,,}" \
        AD_BIND_PASSWORD "$(quote "$(cat "$DIR/admin.password")")" AD_CA_FILE "$DIR/tls/ca.pem" \
        AD_REALM "$r" AD_DOMAIN "$(get DOMAIN)" AD_DIR "$DIR" AD_PID "$PID"
}

# ------------------------------------------------------------------ up
provision() {
    say "provisioning $REALM in $DIR"
    rm -rf "$DIR"; mkdir -p "$DIR"/{etc,run,log,ncalrpc,cache,tls,lib,state}
    echo 1 >"$DIR/.ad-dc"
    printf '[global]\n\tnetbios name = DC1\n' >"$DIR/etc/base.conf"
    printf '[libdefaults]\n\tdefault_realm = %s\n\tdns_lookup_realm = false\n\tdns_lookup_kdc = false\n' "$REALM" >"$DIR/etc/krb5.conf"
    [ -n "$PASSWORD" ] || PASSWORD=Adm1n-$(od -An -N9 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s' "$PASSWORD" >"$DIR/admin.password"
    cat >"$DIR/lib/provision.py" <<'PY'
import logging, os, sys
import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.provision import provision, FILL_FULL
from samba.samdb import SamDB
d, realm, domain, recycle = sys.argv[1:5]
pw = open(d + "/admin.password").read()
lp = LoadParm(); lp.load(d + "/etc/base.conf")
for k, v in (("interfaces", "127.0.0.1/8"), ("bind interfaces only", "yes"), ("ldb:nosync", "true")):
    lp.set(k, v)
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
# skip_sysvolacl: LDAP needs no sysvol ACLs, and setting them needs root and xattrs (not there in many containers)
provision(logging.getLogger("provision"), system_session(), smbconf=None, targetdir=d, samdb_fill=FILL_FULL,
          realm=realm, domain=domain, hostname="dc1", hostip="127.0.0.1", adminpass=pw, dns_backend="NONE",
          serverrole="active directory domain controller", dom_for_fun_level=4, lp=lp, use_rfc2307=True,
          skip_sysvolacl=True)
lp = LoadParm(); lp.load(d + "/etc/smb.conf"); lp.set("ldb:nosync", "true")
sam = SamDB(url=d + "/private/sam.ldb", session_info=system_session(), lp=lp)
base = sam.domain_dn()
sam.modify_ldif("dn: CN=Administrator,CN=Users,%s\nchangetype: modify\nreplace: userAccountControl\n"
                "userAccountControl: 66048\n" % base)  # its password never expires
if recycle == "1":
    sam.modify_ldif("dn:\nchangetype: modify\nadd: enableOptionalFeature\nenableOptionalFeature: "
                    "CN=Partitions,CN=Configuration,%s:766ddcd8-acd0-445e-f3b9-a7f9b6744f2a\n" % base)
print("provisioned", base)
PY
    if ! KRB5_CONFIG="$DIR/etc/krb5.conf" /usr/bin/python3 "$DIR/lib/provision.py" "$DIR" "$REALM" "$DOMAIN" "$RECYCLE" \
            >"$DIR/log/provision.log" 2>&1; then
        tail -15 "$DIR/log/provision.log" >&2
        die "provisioning failed (whole log: $DIR/log/provision.log)"
    fi
    printf 'REALM=%s\nDOMAIN=%s\nRECYCLE=%s\n' "$REALM" "$DOMAIN" "$RECYCLE" >"$DIR/provisioned"
}

make_certs() { # a small CA and a leaf whose SAN names the address: Samba's own has no SAN, and rustls wants one
    local t=$DIR/tls san="DNS:localhost,DNS:dc1.${REALM,,},DNS:${REALM,,},IP:127.0.0.1,IP:$IP"
    [ -f "$t/san" ] && [ "$(cat "$t/san")" = "$san" ] && return 0
    {
        openssl ecparam -name prime256v1 -genkey -noout -out "$t/ca.key"
        openssl req -x509 -new -key "$t/ca.key" -sha256 -days 3650 -subj "/O=ad-dc.sh test/CN=ad-dc test CA" \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out "$t/ca.pem"
        openssl ecparam -name prime256v1 -genkey -noout -out "$t/dc.key"
        openssl req -new -key "$t/dc.key" -subj "/O=ad-dc.sh test/CN=dc1.${REALM,,}" -out "$t/dc.csr"
        printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "$san" >"$t/dc.ext"
        openssl x509 -req -in "$t/dc.csr" -CA "$t/ca.pem" -CAkey "$t/ca.key" -CAcreateserial -sha256 -days 820 \
            -extfile "$t/dc.ext" -out "$t/dc.pem"
    } >"$DIR/log/openssl.log" 2>&1 || { tail -5 "$DIR/log/openssl.log" >&2; die "making the TLS certificate failed"; }
    printf '%s' "$san" >"$t/san"
}

make_shim() { # moves the fixed ports 389, 636 (and the global catalog's 3268, 3269: any free port)
    local cc; cc=$(command -v cc || command -v gcc || command -v clang) ||
        die "ports other than 389/636 need a C compiler (cc); or use --ip 127.x.y.z as root and the usual ports"
    cat >"$DIR/lib/portshim.c" <<'C'
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
static int moved(int p, int back) { /* AD_DC_PORTS="389=10389,636=10636,..." */
    const char *s = getenv("AD_DC_PORTS");
    while (s && *s) {
        char *e;
        long a = strtol(s, &e, 10), b;
        if (*e != '=') break;
        b = strtol(e + 1, &e, 10);
        if (!back && a == p) return (int)b;
        if (back && b == p) return (int)a;
        if (*e != ',') break;
        s = e + 1;
    }
    return p;
}
int bind(int fd, const struct sockaddr *sa, socklen_t len) {
    static int (*real)(int, const struct sockaddr *, socklen_t);
    struct sockaddr_in in;
    if (!real) real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
    if (sa && sa->sa_family == AF_INET && len >= sizeof in) {
        memcpy(&in, sa, sizeof in);
        in.sin_port = htons(moved(ntohs(in.sin_port), 0));
        return real(fd, (struct sockaddr *)&in, sizeof in);
    }
    return real(fd, sa, len);
}
/* Samba looks at the local port of an accepted connection to tell LDAPS from LDAP */
int getsockname(int fd, struct sockaddr *sa, socklen_t *len) {
    static int (*real)(int, struct sockaddr *, socklen_t *);
    int r;
    if (!real) real = (int (*)(int, struct sockaddr *, socklen_t *))dlsym(RTLD_NEXT, "getsockname");
    r = real(fd, sa, len);
    if (r == 0 && sa && len && *len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)sa;
        in->sin_port = htons(moved(ntohs(in->sin_port), 1));
    }
    return r;
}
C
    "$cc" -shared -fPIC -O1 -o "$DIR/lib/portshim.so" "$DIR/lib/portshim.c" -ldl 2>"$DIR/log/cc.log" ||
        { tail -5 "$DIR/log/cc.log" >&2; die "compiling the port shim failed"; }
}

listening() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

cmd_up() {
    [ -z "$(missing)" ] || die "missing: $(missing)- run '$PROG install' as root"
    lock
    if running && [ "$FRESH" = 0 ]; then
        [ "$IP_SET" = 0 ] || [ "$IP" = "$(get IP)" ] || die "already running on $(get IP); 'down' first"
        [ -z "$REALM" ] || [ "${REALM^^}" = "$(get REALM)" ] || die "already running with realm $(get REALM); use --fresh"
        [ -z "$PORT" ] || [ "$PORT" = "$(get PORT)" ] || die "already running on port $(get PORT); 'down' first"
        LDAP_TIMEOUT=5 ldap ldapsearch -LLL -s base -b '' isSynchronized >/dev/null 2>&1 ||
            die "pid $PID runs but does not answer; '$PROG down --dir $DIR', then up (log: $DIR/log/samba.log)"
        say "already up (pid $PID)"; print_env; return 0
    fi
    if [ -e "$DIR" ] && [ ! -f "$DIR/.ad-dc" ] && [ -n "$(ls -A "$DIR")" ]; then
        die "$DIR exists, is not empty and was not made by $PROG: choose another --dir"
    fi
    [ ! -e "$DIR" ] || [ -O "$DIR" ] || die "$DIR belongs to another user"
    local t0 t1 t2 made=0
    t0=$(date +%s%N)
    if [ "$FRESH" = 1 ]; then stop; rm -f "$DIR/provisioned"; fi
    if [ -z "$PORT" ]; then if [ "$(id -u)" = 0 ]; then PORT=389; else PORT=10389; fi; fi
    [ -n "$TLS_PORT" ] || TLS_PORT=$((PORT + 247))
    [ "$PORT" != "$TLS_PORT" ] && [ "$TLS_PORT" -le 65535 ] || die "bad --tls-port $TLS_PORT"
    local p k v
    for p in "$PORT" "$TLS_PORT"; do
        ! listening "$IP" "$p" || die "$IP:$p is in use by another program: give --port/--tls-port, or another --ip 127.x.y.z"
    done
    if [ "$PORT" = 389 ] && [ "$(id -u)" != 0 ] &&
        [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2>/dev/null || echo 1024)" -gt 389 ]; then
        die "port 389 needs root: use --port 10389"
    fi
    if [ -f "$DIR/provisioned" ]; then
        for k in REALM DOMAIN; do
            v=$(sed -n "s/^$k=//p" "$DIR/provisioned")
            [ -z "${!k}" ] || [ "${!k^^}" = "${v^^}" ] || die "$DIR is provisioned with $k=$v, not ${!k}: use --fresh or another --dir"
            printf -v "$k" %s "$v"
        done
        [ "$RECYCLE" = 0 ] || [ "$(sed -n 's/^RECYCLE=//p' "$DIR/provisioned")" = 1 ] || die "$DIR has no recycle bin: use --fresh"
        [ -z "$PASSWORD" ] || [ "$PASSWORD" = "$(cat "$DIR/admin.password")" ] || die "$DIR has another password: use --fresh"
    else
        REALM=${REALM:-CORP.EXAMPLE.COM}; REALM=${REALM^^}; DOMAIN=${DOMAIN:-${REALM%%.*}}; DOMAIN=${DOMAIN^^}
        [[ $REALM =~ ^[A-Z0-9-]+(\.[A-Z0-9-]+)+$ ]] || die "--realm: not a DNS name with a dot: $REALM"
        [[ $DOMAIN =~ ^[A-Z0-9-]{1,15}$ ]] || die "--domain: not a NetBIOS name: $DOMAIN"
        provision; made=1
    fi
    t1=$(date +%s%N)
    make_certs
    local env=("KRB5_CONFIG=$DIR/etc/krb5.conf")
    if [ "$PORT" != 389 ] || [ "$TLS_PORT" != 636 ]; then
        make_shim
        env+=("LD_PRELOAD=$DIR/lib/portshim.so" "AD_DC_PORTS=389=$PORT,636=$TLS_PORT,3268=0,3269=0")
    fi
    mkdir -p "$DIR"/{run,log,ncalrpc,cache}; rm -rf "$DIR/msg.lock" "$DIR/msg.sock" "$DIR"/run/*
    local strong=no; [ "$STRONG" = 0 ] || strong=yes
    cat >"$DIR/etc/run.conf" <<CONF
[global]
	netbios name = DC1
	realm = $REALM
	workgroup = $DOMAIN
	server role = active directory domain controller
	server services = ldap
	interfaces = $IP/8
	bind interfaces only = yes
	ldap server require strong auth = $strong
	tls enabled = yes
	tls keyfile = $DIR/tls/dc.key
	tls certfile = $DIR/tls/dc.pem
	tls cafile = $DIR/tls/ca.pem
	private dir = $DIR/private
	state directory = $DIR/state
	cache directory = $DIR/cache
	lock directory = $DIR
	binddns dir = $DIR/bind-dns
	pid directory = $DIR/run
	ncalrpc dir = $DIR/ncalrpc
	winbindd socket directory = $DIR/run/winbindd
	ntp signd socket directory = $DIR/run/ntp_signd
	log file = $DIR/log/log.%m
	max log size = 10000
	panic action =
	idmap_ldb:use rfc2307 = yes
	ldb:nosync = true
CONF
    printf 'TLS_CACERT %s\nTLS_REQCERT demand\n' "$DIR/tls/ca.pem" >"$DIR/ldap.conf"
    printf 'IP=%s\nPORT=%s\nTLS_PORT=%s\nREALM=%s\nDOMAIN=%s\n' "$IP" "$PORT" "$TLS_PORT" "$REALM" "$DOMAIN" >"$DIR/settings"
    : >"$DIR/log/samba.log"
    # stdin must not be a pipe (with -i Samba ends at its end); fd 9 is our lock
    env "${env[@]}" setsid samba -F --no-process-group -M single -s "$DIR/etc/run.conf" \
        --maximum-runtime="$MAXRT" --debug-stdout </dev/null >>"$DIR/log/samba.log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
    local child=$! ok=0 start end=$((SECONDS + 60))
    trap 'kill "$child" 2>/dev/null || true' EXIT
    start=$(proc_start "$child") || start=
    printf '%s %s\n' "$child" "$start" >"$DIR/run/ad-dc.pid"
    while [ $SECONDS -lt $end ]; do
        kill -0 "$child" 2>/dev/null || break
        if listening "$IP" "$TLS_PORT" && running &&
            LDAP_TIMEOUT=5 ldap ldapsearch -LLL -s base -b '' isSynchronized 2>"$DIR/log/probe.log" | grep -q '^isSynchronized: TRUE'; then ok=1; break; fi
        sleep 0.1
    done
    if [ "$ok" = 0 ]; then
        cat "$DIR/log/probe.log" >&2 2>/dev/null || true; tail -15 "$DIR/log/samba.log" >&2
        if kill -0 "$child" 2>/dev/null; then die "LDAP did not answer within 60 s (log: $DIR/log/samba.log)"; fi
        rm -f "$DIR/run/ad-dc.pid"; die "samba ended at start (log: $DIR/log/samba.log)"
    fi
    trap - EXIT
    disown "$child" 2>/dev/null || true
    t2=$(date +%s%N)
    say "up: pid $PID, $([ "$made" = 1 ] && printf 'provisioned in %d ms, ' $(((t1 - t0) / 1000000)))answering after $(((t2 - t1) / 1000000)) ms"
    print_env
}

# ------------------------------------------------------------------ seed, grant, status, down
cmd_seed() {
    [ ${#ARGS[@]} -eq 1 ] || { say "usage: $PROG seed FILE.ldif [--offline] [--force]"; exit 2; }
    local f=${ARGS[0]} sum log n t0 b; log=$DIR/log/seed.log
    [ -r "$f" ] || die "cannot read $f"
    lock; need_up
    sum=$(sha256sum <"$f" | cut -d' ' -f1)
    if [ "$FORCE" = 0 ] && grep -qs "^$sum" "$DIR/seeded"; then say "already seeded: $f"; return 0; fi
    n=$(grep -cE '^dn::? ' "$f" || true)
    [ "$n" -gt 0 ] || die "no 'dn:' lines in $f: is it LDIF?"
    b=$(base_dn "$(get REALM)")
    t0=$(date +%s%N)
    if [ "$OFFLINE" = 1 ]; then # straight into the database, about ten times faster; one transaction: all or nothing
        local tool=ldbadd; ! grep -q '^changetype:' "$f" || tool=ldbmodify
        "$tool" --nosync -o batch_mode:1 -o transaction_index_cache_size:200000 --configfile="$DIR/etc/run.conf" \
            -H "$DIR/private/sam.ldb" "$f" >"$log" 2>&1 </dev/null || { tail -8 "$log" >&2; die "$tool failed on $f; nothing was loaded (log: $log)"; }
        ! grep -qiE '^(ERR|Failed)' "$log" || { grep -iE '^(ERR|Failed)' "$log" | head -5 >&2; die "$tool reported errors on $f (log: $log)"; }
    else
        # -a: a record without 'changetype' is an add. Stops at the first error; earlier records stay.
        LDAP_TIMEOUT=1800 ldap ldapmodify -a -f "$f" >"$log" 2>&1 ||
            { tail -8 "$log" >&2; die "stopped in $f at record $(grep -cE '^(adding|modifying|deleting|moving)' "$log") of $n; wrong base (want $b)? loaded before (use --fresh)? (log: $log)"; }
    fi
    printf '%s  %s\n' "$sum" "$f" >>"$DIR/seeded"
    say "seeded $n records from $f in $((($(date +%s%N) - t0) / 1000000)) ms"
}

cmd_grant() {
    [ ${#ARGS[@]} -eq 1 ] || { say "usage: $PROG grant ACCOUNT"; exit 2; }
    lock; need_up
    cat >"$DIR/lib/grant.py" <<'PY'
import sys
import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
conf, db, acct = sys.argv[1:4]
lp = LoadParm(); lp.load(conf)
sam = SamDB(url=db, session_info=system_session(), lp=lp)
base = sam.domain_dn()
r = sam.search(base, scope=ldb.SCOPE_SUBTREE, expression="(sAMAccountName=%s)" % ldb.binary_encode(acct), attrs=["objectSid"])
if len(r) != 1: sys.exit("no account %r" % acct)
sid = str(ndr_unpack(security.dom_sid, r[0]["objectSid"][0]))
dsid = security.dom_sid(sam.get_domain_sid())
def grant(dn, ace, ctl):
    m = sam.search(dn, scope=ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=ctl + ["sd_flags:1:4"])
    sd = ndr_unpack(security.descriptor, m[0]["nTSecurityDescriptor"][0])
    for a in security.descriptor.from_sddl("D:" + ace, dsid).dacl.aces:
        if a not in sd.dacl.aces: sd.dacl_add(a)
    msg = ldb.Message(); msg.dn = ldb.Dn(sam, dn)
    msg["x"] = ldb.MessageElement(ndr_pack(sd), ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor")
    sam.modify(msg, ctl + ["sd_flags:1:4"])
grant(base, "(OA;;CR;1131f6aa-9c07-11d1-f79f-00c04fc2dcd2;;%s)" % sid, [])   # Replicating Directory Changes
grant("CN=Deleted Objects," + base, "(A;CI;LCRPLORC;;;%s)" % sid, ["show_deleted:1"])  # list and read tombstones
PY
    /usr/bin/python3 "$DIR/lib/grant.py" "$DIR/etc/run.conf" "$DIR/private/sam.ldb" "${ARGS[0]}" >"$DIR/log/grant.log" 2>&1 ||
        { tail -3 "$DIR/log/grant.log" >&2; die "grant failed"; }
    say "granted DirSync and deleted-object reading to ${ARGS[0]}"
}

cmd_deny() {
    [ ${#ARGS[@]} -eq 3 ] || { say "usage: $PROG deny ACCOUNT DN ACE"; exit 2; }
    lock; need_up
    cat >"$DIR/lib/deny.py" <<'PY'
import sys
import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
conf, db, acct, dn, ace = sys.argv[1:6]
lp = LoadParm(); lp.load(conf)
sam = SamDB(url=db, session_info=system_session(), lp=lp)
r = sam.search(sam.domain_dn(), expression="(sAMAccountName=%s)" % ldb.binary_encode(acct), attrs=["objectSid"])
if len(r) != 1: sys.exit("no account %r" % acct)
sid = str(ndr_unpack(security.dom_sid, r[0]["objectSid"][0]))
m = sam.search(dn, scope=ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=["sd_flags:1:4"])
sd = ndr_unpack(security.descriptor, m[0]["nTSecurityDescriptor"][0])
kind = "OD" if ace.split(";")[1] else "D"
denial = "D:(%s;CI;%s;%s)" % (kind, ace, sid)
for a in security.descriptor.from_sddl(denial, security.dom_sid(sam.get_domain_sid())).dacl.aces:
    sd.dacl_add(a, 0)
msg = ldb.Message(); msg.dn = ldb.Dn(sam, dn)
msg["x"] = ldb.MessageElement(ndr_pack(sd), ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor")
sam.modify(msg, ["sd_flags:1:4"])
PY
    /usr/bin/python3 "$DIR/lib/deny.py" "$DIR/etc/run.conf" "$DIR/private/sam.ldb" "${ARGS[@]}" >"$DIR/log/deny.log" 2>&1 ||
        { tail -3 "$DIR/log/deny.log" >&2; die "deny failed"; }
    say "denied ${ARGS[0]} at ${ARGS[1]}: ${ARGS[2]}"
}

cmd_status() {
    if ! running; then say "stopped: $DIR$([ -f "$DIR/provisioned" ] && printf ' (provisioned)')"; exit 3; fi
    local usn
    usn=$(LDAP_TIMEOUT=5 ldap ldapsearch -LLL -s base -b '' highestCommittedUSN 2>/dev/null | sed -n 's/^highestCommittedUSN: //p') || usn=
    [ -n "$usn" ] || { say "pid $PID runs but LDAP does not answer (log: $DIR/log/samba.log)"; exit 1; }
    say "running: pid $PID, ldap://$(get IP):$(get PORT), RSS $(awk '/^VmRSS/{print int($2/1024)}' "/proc/$PID/status") MiB, highestCommittedUSN $usn"
}

stop() { # ends only the process that 'up' started in this directory
    running || { rm -f "$DIR/run/ad-dc.pid"; return 0; }
    local p=$PID i
    kill -TERM "$p" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do running || break; sleep 0.1; done
    if running; then say "pid $p did not end in 10 s: SIGKILL"; kill -KILL "$p" 2>/dev/null || true; sleep 0.2; fi
    rm -f "$DIR/run/ad-dc.pid"
}

cmd_down() {
    lock
    if running; then local p=$PID; stop; say "stopped pid $p"; else stop; say "not running: $DIR"; fi
    if [ "$PURGE" = 1 ] && [ -e "$DIR" ]; then
        [ -f "$DIR/.ad-dc" ] || die "not removing $DIR: it was not made by $PROG"
        rm -rf "$DIR"; say "removed $DIR"
    fi
    [ "$PURGE" = 0 ] || rm -f "$DIR.lock"
}

[ $# -ge 1 ] || { usage; exit 2; }
CMD=$1; shift
parse "$@"
case $CMD in
    install) cmd_install ;;
    up) cmd_up ;;
    seed) cmd_seed ;;
    grant) cmd_grant ;;
    deny) cmd_deny ;;
    status) cmd_status ;;
    env) need_up; print_env ;;
    down) cmd_down ;;
    -h|--help|help) usage ;;
    *) say "unknown command '$CMD' (install, up, seed, grant, deny, status, env, down)"; exit 2 ;;
esac
