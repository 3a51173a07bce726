"""Orchestration: what happens to a dataset, what happens to one video, and the command that starts it.

Prefect and Ray read these when they are imported; what the user has set stays.
"""

import os

DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",   # a busy machine needs more than the 20 s it gives itself
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",                          # the run's own lines say more
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",                        # else a nested `uv run` hangs
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
