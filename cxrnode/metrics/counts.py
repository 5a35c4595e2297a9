"""What happens, counted in the process where it happens; a service's port adds its processes up.

Labels are AE titles, names of destinations, models and stages, and words of this file: never a UID, nor anything else
out of a data set. What a stranger calls itself is no label either.
"""

import re
import threading
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pydicom.datadict import tag_for_keyword

REGISTRY = CollectorRegistry()
STRANGER, OTHERS = "not admitted", "others"
"""Whose AE title no entry of receiving.senders admits; and those beyond the first so many."""
MOST_CALLERS = 64
STAGE_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
WAIT_S = (1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600, 10800, 43200, 86400, 259200)
PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
ATTRIBUTE = re.compile(r"([A-Za-z0-9]+) \([0-9A-F]{4},[0-9A-F]{4}\)")
PIXELS, ATTEMPTS, OTHER = "pixels", "attempts", "other"

REFUSED_FOR = ("called AE title", "calling AE title", "too many associations")


def _counter(name: str, told: str, *labels: str) -> Counter:
    return Counter(f"cxrnode_{name}", told, labels, registry=REGISTRY)


def _histogram(name: str, told: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"cxrnode_{name}", told, labels, buckets=buckets, registry=REGISTRY)


def _gauge(name: str, told: str, mode: str, *labels: str) -> Gauge:
    return Gauge(f"cxrnode_{name}", told, labels, multiprocess_mode=mode, registry=REGISTRY)  # type: ignore[arg-type]  # one of its literals


ASSOCIATIONS = _counter("associations", "Associations accepted.", "calling_ae")
REFUSED = _counter("associations_refused", "Associations rejected, by why.", "calling_ae", "reason")
ABORTED = _counter("associations_aborted", "Associations that ended by an abort, of either side.")
HANDSHAKES = _counter("handshakes_refused", "TLS handshakes that failed or did not end in time.")
INSTANCES = _counter("instances", "C-STORE requests answered, by status (0000 is Success).", "calling_ae", "status")
RECEIVED = _counter("received_bytes", "Bytes of the data sets of C-STORE requests that were answered.", "calling_ae")
LAST = _gauge("last_instance_timestamp_seconds", "When the last instance was taken.", "max", "calling_ae")

STUDIES = _counter("studies_analysed", "Studies whose analysis has ended, by outcome.", "model", "outcome")
IMAGES = _counter("images", "Images of analyses that have ended, by outcome and why.", "model", "outcome", "reason")
PROBABILITY = _histogram("probability", "Probabilities of the images that were read.", PROBABILITIES, "model")
STAGES = _histogram("analysis_stage_seconds", "Time of a study's analysis, by stage.", STAGE_S, "stage")
ANALYSED = _histogram("analysed_seconds", "From a study's completion to its results.", WAIT_S, "lane")
DELIVERED = _histogram("delivered_seconds", "From results to the last of them taken.", WAIT_S, "destination")
ANALYSES = _counter("analyses", "Analyses by how they ended: done, put back or given up.", "end")
DELIVERIES = _counter("deliveries", "Deliveries by how they ended: done, later or given up.", "destination", "end")
OBJECTS = _counter("objects_sent", "Objects sent, by what the destination answered.", "destination", "fate")
NOT_COMMITTED = _counter("objects_not_committed", "Objects that nobody would commit itself to.", "destination")
LOST = _counter("leases_lost", "Work dropped because somebody else had its lease by then.", "work")
EXPIRED = _counter("leases_expired", "Work begun anew, as the one who had it never ended it.", "work")

GPU_FREE = _gauge("gpu_memory_free_bytes", "What nobody uses of the GPU's memory; 0 without one.", "livemostrecent")
GPU_SIZE = _gauge("gpu_memory_size_bytes", "All memory of the GPU; 0 without one.", "livemax")
GPU_HELD = _gauge("gpu_memory_held_bytes", "What torch holds of it in this service's processes.", "livesum")

_callers: set[str] = set()
_calling = threading.Lock()


def caller(ae_title: str) -> str:
    """The label of an AE title that was admitted: itself, where there are not too many."""
    with _calling:
        if ae_title not in _callers and len(_callers) >= MOST_CALLERS:
            return OTHERS
        _callers.add(ae_title)
        return ae_title


def accepted(ae_title: str) -> None:
    """An association was accepted."""
    ASSOCIATIONS.labels(caller(ae_title)).inc()


def refused(ae_title: str, reason: str) -> None:
    """An association was rejected, of an AE title that is admitted or else empty; `reason` is one of REFUSED_FOR."""
    REFUSED.labels(caller(ae_title) if ae_title else STRANGER, reason).inc()


def answered(ae_title: str, status: int, size: int, at: float) -> None:
    """A C-STORE request of so many bytes was answered, at this time in seconds since 1970."""
    name = caller(ae_title)
    INSTANCES.labels(name, f"{status:04X}").inc()
    RECEIVED.labels(name).inc(size)
    if status == 0:
        LAST.labels(name).set(at)


def analysed(model: str, outcome: str, lane: str, waited_s: float, stages_ms: Mapping[str, float]) -> None:
    """A study was analysed, so long after it was complete; `model` is empty where none read it."""
    ANALYSES.labels("done").inc()
    STUDIES.labels(model, outcome).inc()
    ANALYSED.labels(lane).observe(waited_s)
    for stage, ms in stages_ms.items():
        STAGES.labels(stage).observe(ms / 1000)


def image(model: str, outcome: str, reason: str, probability: float | None) -> None:
    """An image of it has this outcome, for this reason in words."""
    IMAGES.labels(model, outcome, kind_of(reason)).inc()
    if probability is not None:
        PROBABILITY.labels(model).observe(probability)


def kind_of(reason: str) -> str:
    """A reason in words as one of few: the DICOM keyword that it begins with, what else was looked at, or empty."""
    if not reason:
        return ""
    begun = ATTRIBUTE.match(reason)
    if begun is not None and tag_for_keyword(begun[1]) is not None:
        return begun[1]
    if reason.startswith("The pixels look like "):
        return PIXELS
    return ATTEMPTS if reason.startswith("The analysis was begun ") else OTHER
