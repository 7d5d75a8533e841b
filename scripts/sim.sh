#!/bin/sh
# Runs many seeds of the simulation: scripts/sim.sh [seeds] [from]. Goes by slices, prints for each how many seeds a second it
# ran and every seed that broke a promise, and fails at the end if there was one.
set -eu
cd "$(dirname "$0")/.."
seeds=${1:-100000} from=${2:-0} slice=5000 failed=0
cargo test -q -p vedette-tests --test sim --no-run
end=$((from + seeds))
while [ "$from" -lt "$end" ]; do
    count=$((end - from < slice ? end - from : slice))
    out=$(SIM_FROM=$from SIM_SEEDS=$count \
        cargo test -q -p vedette-tests --test sim every_seed -- --nocapture 2>&1) || failed=1
    echo "$out" | grep -E '^seed |seeds, |never met|panicked' || true
    from=$((from + count))
done
exit "$failed"
