#!/bin/sh
# Makes the tiny models, their card and the demo's data from nothing: make.sh WORK_FOLDER [THREADS]
# Needs node, the npm packages of this repository, and Python with scripts/tiny/requirements.txt (PYTHON names another).
# All seeds are fixed. Sums in floating point differ between CPUs, versions and numbers of threads, so weights do too.
set -eu
work=$1
threads=${2:-1}
cd "$(dirname "$0")/../.."
mkdir -p "$work" models demo
: > "$work/times.jsonl"

timed() {
  name=$1
  shift
  started=$(date +%s)
  "$@"
  printf '{"name":"%s","seconds":%s,"threads":%s}\n' "$name" "$(($(date +%s) - started))" "$threads" >> "$work/times.jsonl"
}
data() { npx tsx scripts/tiny/data.ts "$@"; }
train() { "${PYTHON:-python3}" -B scripts/tiny/train.py "$1" "$work" models "$threads"; }

timed 'problems and worked solutions' data worked "$work"
timed 'training the policy' train policy
timed 'sampling' train sample
timed 'labelling' data judge "$work"
timed 'training the PRM' train prm
timed 'scoring' train score
data demo "$work" demo
npx tsx scripts/tiny/card.ts "$work"
