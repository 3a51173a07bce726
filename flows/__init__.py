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
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def bypass_proxies() -> None:
    """Have this machine's own servers reached without the proxies that the environment names."""
    if not any(name.lower() in PROXIES and value for name, value in os.environ.items()):
        return
    hosts = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    there = [host.strip() for host in hosts.split(",") if host.strip()]
    if "*" not in there:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*there, *(host for host in LOOPBACK if host not in there)])


for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
bypass_proxies()
