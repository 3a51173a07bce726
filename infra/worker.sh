#!/usr/bin/env bash
# A Prefect worker on a node of the Ray cluster that lends it no capacity: the flows that it starts are Ray's drivers.
# Ends when either of the two does, so that whoever started this starts both again.
set -euo pipefail
: "${RAY_HEAD:?host:port of the head}" "${LABELING_POOL:?name of the work pool}"

ray start --address="$RAY_HEAD" --num-cpus=0 --num-gpus=0 --block &
infra/deploy.sh
prefect worker start --pool "$LABELING_POOL" --type process &

trap 'kill $(jobs -p) 2>/dev/null; wait' TERM INT
status=0
wait -n || status=$?
kill $(jobs -p) 2>/dev/null || true
wait
exit "$status"
