# What the scripts of this folder share. Sourced, not run.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
run=$here/run
root=$(cd "$here/../.." && pwd)
holdfast=${HOLDFAST_BIN:-}

# The binary: HOLDFAST_BIN, or the release build, or the debug build.
find_holdfast() {
  for candidate in "$holdfast" "$root/target/release/holdfast" "$root/target/debug/holdfast"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      holdfast=$candidate
      return
    fi
  done
  echo "no holdfast binary; run: cargo build --release --bin holdfast" >&2
  exit 1
}

# Whether the process that wrote this pid file still runs.
alive() { [ -f "$run/$1.pid" ] && kill -0 "$(cat "$run/$1.pid")" 2>/dev/null; }

# Starts a command in the background: name, log file, command.
start() {
  local name=$1 log=$2
  shift 2
  setsid "$@" >>"$log" 2>&1 </dev/null &
  echo $! >"$run/$name.pid"
}

# Ends what a pid file names: name, signal.
stop() {
  alive "$1" || { rm -f "$run/$1.pid"; return 0; }
  local pid
  pid=$(cat "$run/$1.pid")
  kill "-$2" "$pid" 2>/dev/null || true
  for _ in $(seq 200); do
    kill -0 "$pid" 2>/dev/null || break
    read -rt 0.05 <> <(:) || true
  done
  rm -f "$run/$1.pid"
}

cli() { "$holdfast" --context "$here/context.toml" "$@"; }
