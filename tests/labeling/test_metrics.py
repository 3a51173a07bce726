"""Figures as text and over HTTP."""

import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from labeling import metrics
from labeling.metrics import Metric, counter, gauge


class Growing:
    """Counts its readings."""

    def __init__(self) -> None:
        self.readings = 0

    def families(self) -> Iterator[Metric]:
        self.readings += 1
        yield counter("made_readings_total", "Readings", self.readings)
        yield gauge("made_level", "Levels", {"low": 1.5, 'a "b"\n': 2}, "name")


def test_text_is_what_prometheus_reads() -> None:
    told = metrics.text(Growing()).decode()
    assert "# TYPE made_readings_total counter\nmade_readings_total 1.0\n" in told
    assert 'made_level{name="low"} 1.5\n' in told
    assert 'made_level{name="a \\"b\\"\\n"} 2.0\n' in told
    assert "_created" not in told


def test_each_scrape_reads_anew_and_the_port_is_given_back() -> None:
    with metrics.served(Growing(), host="127.0.0.1", port=0) as port:
        told = [urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode() for _ in range(2)]
        with pytest.raises(OSError), metrics.served(Growing(), host="127.0.0.1", port=port):
            pass
    assert "made_readings_total 1.0" in told[0]
    assert "made_readings_total 2.0" in told[1]
    assert "process_resident_memory_bytes" in told[0]
    with socket.create_server(("127.0.0.1", port)):
        pass
