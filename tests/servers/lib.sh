# shellcheck shell=bash
# For the scripts beside it, which read it with `. lib.sh` after setting `run`, the folder for pid files and logs.
#
# A process is ours while it has the pid and the start time that were written down when it was launched: a pid that was
# given to another process since is never signalled.

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { say "$*"; exit 1; }

# start_time PID: when the kernel started it; fails for one that is not there or is only waited for.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # Counted from behind the command's name, which may hold spaces and brackets.
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  [ "$1" != Z ] || return 1
  printf '%s\n' "${20}"
}

# alive NAME: prints the pid while the process that `launch NAME` started still runs.
alive() {
  local pid started
  [ -r "$run/$1.pid" ] && read -r pid started <"$run/$1.pid" || return 1
  [ -n "$pid" ] && [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] || return 1
  printf '%s\n' "$pid"
}

# launch NAME COMMAND...: starts it in the background, its output in NAME.log; nothing to do while it runs.
launch() {
  local name=$1 pid started
  shift
  alive "$name" >/dev/null && return 0
  mkdir -p "$run"
  # A session of its own: the terminal's interrupt does not reach it. Nor does a proxy that the environment names.
  (cd "$run" && exec setsid env -u HTTP_PROXY -u HTTPS_PROXY -u http_proxy -u https_proxy -u ALL_PROXY -u all_proxy \
    "$@" >"$run/$name.log" 2>&1 </dev/null 9>&-) &
  pid=$!
  disown "$pid" 2>/dev/null || true
  started=$(start_time "$pid") || die "$name ended at once; see $run/$name.log"
  printf '%s %s\n' "$pid" "$started" >"$run/$name.pid.new"
  mv "$run/$name.pid.new" "$run/$name.pid"
}

# halt NAME: ends what `launch NAME` started, and waits for its end; nothing to do where it does not run.
halt() {
  local name=$1 pid
  for signal in TERM KILL; do
    pid=$(alive "$name") || break
    kill -"$signal" "$pid" 2>/dev/null || true
    for _ in $(seq 50); do
      alive "$name" >/dev/null || break
      sleep 0.1
    done
  done
  if pid=$(alive "$name"); then die "$name (pid $pid) does not end"; fi
  rm -f "$run/$name.pid"
}

# port_open PORT: whether somebody listens there on loopback.
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_for NAME SECONDS COMMAND...: until the command succeeds; fails early where the process of that name has ended.
wait_for() {
  local name=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name" >/dev/null; then
      tail -5 "$run/$name.log" >&2
      die "$name ended before it answered"
    fi
    if [ "$SECONDS" -ge "$end" ]; then
      halt "$name"
      die "$name did not answer; see $run/$name.log"
    fi
    sleep 0.1
  done
}

# only_one FOLDER: one script at a time works on a folder; the others wait.
only_one() {
  mkdir -p "$1"
  exec 9>"$1/lock"
  flock -w 900 9 || die "another run holds $1/lock"
}
