#!/usr/bin/env bash
# A disk that is full for real: the data of two of three managers lies on small filesystems in memory, which are filled
# up. What cannot be written may not be answered 200; when there is space again everything answered 200 must be there.
#
#   scripts/faults/full-disk.sh        BIN=FILE names the vedette binary, else a release is built
#
# Needs root, to mount (in a mount namespace of its own: nobody else sees it); says so and ends with 0 without. Needs
# python3. Exit status 0: all held, or skipped.
set -euo pipefail
# shellcheck source=scripts/faults/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ $UID != 0 ]]; then
  say "skipped: mounting a small filesystem needs root"
  exit 0
fi
if [[ -z ${IN_OWN_NAMESPACE-} ]]; then
  IN_OWN_NAMESPACE=1 exec unshare --mount "$0"
fi

DIR=$(mktemp -d)

end() {
  "$local_sh" stop >/dev/null 2>&1 || true
  umount "$DIR"/manager-* 2>/dev/null || true
  rm -rf "$DIR"
}
trap end EXIT

mkdir "$DIR/manager-1" "$DIR/manager-2"
for n in 1 2; do mount -t tmpfs -o size=32m "manager-$n" "$DIR/manager-$n"; done
start_cluster

publish before 40 >"$DIR/kept"
say "before: $(summary "$DIR/kept")"
[[ $(with_status 200 "$DIR/kept") == 40 ]] || fail "a healthy cluster refuses"

for n in 1 2; do cat /dev/zero >"$DIR/manager-$n/ballast" 2>/dev/null || true; done
# What has its place on the disk already, the journal above all, has room for some more.
for round in {1..20}; do
  WAIT=6 NOTE=3000 publish "during-$round" 40 >"$DIR/during"
  say "while two of three disks are full: $(summary "$DIR/during")"
  cat "$DIR/during" >>"$DIR/kept"
  [[ $(with_status 200 "$DIR/during") != 0 ]] || break
done
[[ $(with_status 200 "$DIR/during") == 0 ]] || fail "the disks do not get full"
for n in 1 2; do
  ! grep -q 'panicked' "$DIR/manager-$n.log" || fail "manager-$n panicked: $(grep -m1 panicked "$DIR/manager-$n.log")"
  rm "$DIR/manager-$n/ballast"
done
restart 1 2
check_kept "$DIR/kept"
publish after 20 >"$DIR/after"
say "after: $(summary "$DIR/after")"
[[ $(with_status 200 "$DIR/after") == 20 ]] || fail "the cluster did not recover"
say "all held"
