#!/usr/bin/env bash
# Makes the work pool where there is none, and the deployments of prefect.yaml; again, it brings those up to date.
set -euo pipefail
: "${LABELING_POOL:?name of the work pool; set -a; . infra/.env; set +a}"

cd "$(dirname "$0")/.."
prefect work-pool inspect "$LABELING_POOL" >/dev/null 2>&1 || prefect --no-prompt work-pool create "$LABELING_POOL" --type process
prefect --no-prompt deploy --prefect-file infra/prefect.yaml --all
