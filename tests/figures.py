"""Figures for Prometheus as the tests look at them: in this process, or scraped from a port."""

import time
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from cxrnode.metrics import counts

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def counted(name: str, **labels: str) -> float:
    """A figure of this process; 0 where it was never counted."""
    return counts.REGISTRY.get_sample_value(f"cxrnode_{name}", labels) or 0.0


def scraped(port: int, patience_s: float = 30.0) -> Figures:
    """All that a port on loopback tells, by name and labels; it may not be there yet."""
    give_up = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        except OSError:
            assert time.monotonic() < give_up
            time.sleep(0.1)
        else:
            families = text_string_to_metric_families(text)
            return {(one.name, frozenset(one.labels.items())): one.value for many in families for one in many.samples}


def figure(figures: Mapping[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    """One of them, which must be there."""
    return figures[f"cxrnode_{name}", frozenset(labels.items())]
