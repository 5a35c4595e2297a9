"""A figure as prometheus-client wants it: a family of one value for each set of labels."""

from collections.abc import Mapping

from prometheus_client.core import GaugeMetricFamily

Labels = tuple[str, ...]


def gauge(name: str, told: str, labels: Labels, values: Mapping[Labels, float]) -> GaugeMetricFamily:
    """`cxrnode_<name>` with these values, by the values of the labels."""
    family = GaugeMetricFamily(f"cxrnode_{name}", told, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def single(name: str, told: str, value: float) -> GaugeMetricFamily:
    """The same without labels."""
    return gauge(name, told, (), {(): value})
