#!/usr/bin/env bash
# Feeds everything that reads what strangers send with changed and made-up inputs, each target for as long as wanted, and
# says how many were tried and what was found. Needs cargo-fuzz and a C++ compiler; a nightly toolchain is not needed.
set -euo pipefail

if [[ ${1-} == -h || ${1-} == --help || ! ${1:-60} =~ ^[0-9]+$ ]]; then
  echo "Usage: fuzz.sh [SECONDS] [TARGET...]   (60 seconds of each target; the targets are the files of tests/fuzz/targets)" >&2
  exit 2
fi
cd "$(dirname "$0")/../tests/fuzz"
command -v cargo-fuzz >/dev/null || {
  echo "fuzz.sh: cargo-fuzz is missing; get it with: cargo install cargo-fuzz" >&2
  exit 1
}

readonly SECONDS_EACH=${1:-60}
shift || true
targets=("$@")
((${#targets[@]})) || targets=($(basename -s .rs targets/*.rs))
for target in "${targets[@]}"; do
  [[ -f targets/$target.rs ]] || { echo "fuzz.sh: there is no target $target" >&2; exit 2; }
done

# libfuzzer needs a switch that stable compilers have but keep to themselves.
export RUSTC_BOOTSTRAP=1
readonly SHARED=../../../shared
found=0
printf '%-12s %12s %10s  %s\n' target executions per_second finding
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target"
  cp -n "seeds/$target"/* "corpus/$target/"
  case $target in
    message | framing) others=("$SHARED"/data/rfc4475 "$SHARED"/data/rfc5118 "$SHARED"/captures/messages) ;;
    document) others=("$SHARED"/data/samples) ;;
    *) others=() ;;
  esac
  for folder in "${others[@]}"; do
    [[ -d $folder ]] || continue
    # Many have the same name in different folders.
    find "$folder" -type f -size -17k | while read -r file; do
      cp -n "$file" "corpus/$target/$(sha1sum <"$file" | cut -c 1-16)"
    done
  done
  log=$(mktemp)
  finding=none
  cargo fuzz run --fuzz-dir . "$target" -- -max_total_time="$SECONDS_EACH" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 >"$log" 2>&1 || { finding=$log; found=1; }
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  printf '%-12s %12s %10s  %s\n' "$target" "${executions:-?}" "${rate:-?}" "$finding"
  [[ $finding != none ]] || rm -f "$log"
done
exit $found
