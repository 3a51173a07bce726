"""The name that deployments of 0.1.0 were made under; `flows/deployments.py` is the present one."""

import warnings

from flows.deployments import Settings, backfill, nightly, recompute_qc, review_apply

__all__ = ["Settings", "backfill", "nightly", "recompute_qc", "review_apply"]

warnings.warn(
    "flows/deployed.py is called flows/deployments.py now; deploy anew with infra/deploy.sh: this name goes with the next "
    "release",
    FutureWarning, stacklevel=2,
)
