#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Configuring and compiling by preset. Sourced by `run`; run_tests.py calls it as a program:
#   build.sh PRESET [TARGET...]

: "${root:=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)}"
memory_per_job_kib=$((1536 * 1024))

# Where the build trees are: in the source tree, or in the cache of a user who may not write there.
build_root() {
  if mkdir -p "$root/build" 2>/dev/null && [ -w "$root/build" ]; then
    echo "$root/build"
    return
  fi
  local name
  name=holdfast-build/$(cksum <<<"$root" | cut -d' ' -f1)
  local place
  for place in "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}" "${TMPDIR:-/tmp}/holdfast-$(id -u)"; do
    if mkdir -p "$place/$name" 2>/dev/null; then
      echo "$place/$name"
      return
    fi
  done
  echo "no folder to build in: set TMPDIR to one that you may write" >&2
  return 1
}

# As many compilers as there are cores and memory for.
build_jobs() {
  local cores memory limit jobs
  cores=$(nproc)
  memory=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [ "$limit" != max ] && ((limit / 1024 < memory)); then
    memory=$((limit / 1024))
  fi
  jobs=$((memory / memory_per_job_kib))
  ((jobs <= cores)) || jobs=$cores
  ((jobs >= 1)) || jobs=1
  echo "$jobs"
}

# show_progress WHAT COMMAND...  Runs the command with its output in a log, and says every 5 s how
# far it is. Prints the log when it fails. All of its processes end when we are interrupted: it has
# a session of its own, and that is ended as a whole.
show_progress() {
  local what=$1 log pid status=0 start=$SECONDS said=0
  shift
  log=$(mktemp)
  setsid "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # shellcheck disable=SC2064  # the values of now
  trap "kill -TERM -- -$pid 2>/dev/null; wait $pid 2>/dev/null; rm -f '$log'; exit 130" INT TERM HUP
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - start - said >= 5)); then
      said=$((SECONDS - start))
      echo "$what: $said s $(tail -n 1 "$log" | tr '\r' '\n' | tail -n 1 | cut -c 1-100)"
    fi
  done
  wait "$pid" || status=$?
  trap - INT TERM HUP
  if ((status)); then
    cat "$log" >&2
    echo "$what: failed after $((SECONDS - start)) s" >&2
  else
    echo "$what: done in $((SECONDS - start)) s"
  fi
  rm -f "$log"
  return "$status"
}

# A build tree that was made for another source folder (a copied checkout) is of no use.
forget_foreign_tree() {
  local tree=$1 made_for
  [ -f "$tree/CMakeCache.txt" ] || return 0
  made_for=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$tree/CMakeCache.txt")
  [ "$made_for" = "$root" ] || rm -rf "$tree"
}

# build_preset PRESET [TARGET...]  One builder per tree at a time. HOLDFAST_UNITY=OFF: file by file,
# whatever the preset says.
build_preset() {
  local preset=$1 tree
  shift
  tree=$(build_root)/$preset
  mkdir -p "$tree"
  (
    if ! flock --nonblock 8; then
      echo "waiting for another build of $preset to end"
      until flock --timeout 8 8; do
        echo "waiting for another build of $preset to end"
      done
    fi
    forget_foreign_tree "$tree"
    mkdir -p "$tree"
    cd "$root"
    show_progress "configuring $preset" cmake --preset "$preset" -B "$tree" \
      ${HOLDFAST_UNITY:+-DCMAKE_UNITY_BUILD="$HOLDFAST_UNITY"} || exit 1
    local -a command=(cmake --build "$tree" --parallel "$(build_jobs)")
    (($# == 0)) || command+=(--target "$@")
    show_progress "building $preset" "${command[@]}"
  ) 8>"$tree.lock"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  build_preset "$@"
fi
