# Shared by the scripts in this folder, which source it. Sets nothing but names and functions.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=$ROOT/build/deps
VENV=$DEPS/venv

# The LibTorch that Graft is built and tested with. fetch_weights.py reads it from the environment.
export GRAFT_TORCH_VERSION=${GRAFT_TORCH_VERSION:-2.13.0}

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# usage SCRIPT: prints the comment at the head of SCRIPT, its help text: from the second line to the first that is no comment.
usage() { awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$1"; }

# step TITLE COMMAND...: runs COMMAND, and says what it does and how long that took.
# Never call it in a condition (if, ||, &&): that would turn `set -e` off inside COMMAND.
step() {
  local title=$1 start=$SECONDS
  shift
  say "==> $title"
  "$@"
  say "    done: $title ($((SECONDS - start)) s)"
}

# need_python: a python3 that is new enough for the torch wheel.
need_python() {
  command -v python3 >/dev/null || die "python3 is missing. Run: apt-get install python3 python3-venv"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "python3 is $(python3 -V 2>&1), and the torch wheel needs 3.10 or newer. Put a newer python3 first in PATH."
}

# ensure_venv: a Python environment of the project's own, so that nothing is installed into the system's. Kept when it works.
ensure_venv() {
  need_python
  if [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
  say "    making a Python environment in $VENV"
  mkdir -p "$DEPS"
  python3 -m venv --clear "$VENV" >/dev/null ||
    die "python3 -m venv failed. Run: apt-get install python3-venv, then this script again."
}
