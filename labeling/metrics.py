"""Figures as Prometheus reads them: made from plain values at each reading, served on one port or written as text."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["Metric", "Source", "counter", "gauge", "served", "text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Source(Protocol):
    """What has figures to tell; asked at each reading, on another thread than the one that changes them."""

    def families(self) -> Iterable[Metric]:
        """The figures as they are now."""
        ...


def gauge(name: str, description: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """Return a figure that goes up and down: one number, or one for each value of a label."""
    return _filled(GaugeMetricFamily(name, description, labels=[label] if label else []), value)


def counter(name: str, description: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """Return a figure that only grows; `name` ends with `_total`."""
    return _filled(CounterMetricFamily(name, description, labels=[label] if label else []), value)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, value: float | Mapping[str, float]) -> Metric:
    numbers = {(name,): number for name, number in list(value.items())} if isinstance(value, Mapping) else {(): value}
    for labels, number in numbers.items():
        family.add_metric(labels, number)
    return family


def text(source: Source) -> bytes:
    """Return a source's figures in Prometheus's text format, as node_exporter's textfile collector takes it too."""
    return generate_latest(_Collected(source))


@contextmanager
def served(source: Source, *, host: str, port: int) -> Iterator[int]:
    """Answer `GET /metrics` while the block runs, with this process's own CPU and memory too; gives the port.

    OSError where it cannot listen there; port 0 takes one that is free.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(source))
    ProcessCollector(registry=registry)
    server, thread = start_http_server(port, addr=host, registry=registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Collected(Collector):
    """A source as prometheus_client asks it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        return self._source.families()
