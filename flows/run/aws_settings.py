"""Which AWS settings a worker works with: all of its own, or all of the driver's, never some of each."""

import logging
import os
from collections.abc import Mapping

log = logging.getLogger(__name__)

# Where a machine, a pod or a role leaves credentials beside the files and the instance's own.
OF_ITS_OWN = (
    "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def aws_settings() -> dict[str, str]:
    """Return this process's AWS variables."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def settle(drivers: Mapping[str, str], *, same_machine: bool) -> str:
    """Decide in a worker whose AWS settings hold, and have them in its environment; returns `worker` or `driver`.

    A worker with credentials of its own (variables, a profile, a role) keeps them, with its region and endpoint. Where the
    driver started it itself, its variables are an older copy of the driver's.
    """
    if not drivers:
        return "worker"
    if not same_machine and (where := _credentials_here()):
        log.info("AWS: this worker keeps its own credentials (%s), region and endpoint", where)
        return "worker"
    for name in aws_settings():
        del os.environ[name]
    os.environ.update(drivers)
    return "driver"


def _credentials_here() -> str:
    """Where this process has credentials from; empty where it has none."""
    for name in OF_ITS_OWN:
        if os.environ.get(name):
            return name
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        credentials = botocore.session.Session().get_credentials()
    except BotoCoreError as error:      # a profile that is half written is its own to mend, not the driver's to hide
        return str(error)
    return str(credentials.method) if credentials is not None else ""
