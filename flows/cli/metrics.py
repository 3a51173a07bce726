"""`labeling metrics`: a dataset's figures for Prometheus, also while nothing runs."""

import logging
import threading
from typing import Annotated

import typer

from flows.cli.arguments import Root, store_at
from flows.cli.console import console
from labeling import logs, metrics
from labeling.errors import BadConfiguration

app = typer.Typer(no_args_is_help=True, help="Figures for Prometheus.")

log = logging.getLogger(__name__)


@app.command()
def serve(
    where: Root,
    host: Annotated[str, typer.Option(help="The address to listen at; who reaches it can read the figures")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one")] = 9465,
) -> None:
    """Serve a dataset's figures until stopped: its last run, pace, dead letters, snapshot and review backlog.

    `labeling metrics serve s3://labels/cars`; it reads the store alone, so alerts such as `no run since` hold while nothing
    runs. A run serves its own at `metrics.port`, the review page at `/metrics`.
    """
    config = store_at(where)
    logs.use(config.logging.format)
    from flows.run.store_metrics import StoreWatch

    try:
        with metrics.served(StoreWatch(config), host=host, port=port) as found:
            console.print(f"[bold]figures:[/] http://{host}:{found}/metrics   (stop with Ctrl+C)", soft_wrap=True)
            threading.Event().wait()
    except (OSError, OverflowError) as error:
        raise BadConfiguration(f"cannot listen at {host} port {port} ({error}); give ones that are free") from error
