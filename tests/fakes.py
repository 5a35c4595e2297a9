"""Peers that are real SCPs on loopback and misbehave on request, and a model that says what it is told."""

import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from cxrnode.finding import Algorithm, Finding, Heatmap
from cxrnode.radiograph import Film
from cxrnode.settings.destination import Destination

REACTOR = "reactor of a fake peer"


@contextmanager
def served(
    ae: AE, handlers: Sequence[evt.EventHandlerType] = (), port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Have a peer listen on loopback inside; its port. Its threads are told from the node's own by their name."""
    named = [(evt.EVT_CONN_OPEN, _name_reactor), *handlers]
    server = ae.start_server(("127.0.0.1", port), block=False, ssl_context=tls, evt_handlers=named)
    try:
        yield server.server_address[1]
    finally:
        ae.shutdown()


def _name_reactor(event: evt.Event) -> None:
    """Tell its thread from the node's own: aborted while it sends, it may end by an exception (see pyproject.toml)."""
    event.assoc.dul.name = REACTOR


@dataclass
class FakePacs:
    """A Storage SCP: answers `statuses` in turn (0x0000 when they run out), and can drop the association."""

    statuses: list[int] = field(default_factory=list)
    drop_after: int | None = None
    stored: list[Dataset] = field(default_factory=list)
    attempts: list[tuple[str, bytes]] = field(default_factory=list)
    """SOP Instance UID and the data set's bytes of every C-STORE, taken or not"""
    storage_classes: Sequence[str] | None = None
    """what it takes; None: everything"""
    rejects: list[tuple[int, int, int]] = field(default_factory=list)
    """result, source and diagnostic (PS3.8 Table 9-21) of the first associations, which it rejects"""
    delays_s: list[float] = field(default_factory=list)
    """how long it takes over each C-STORE, in turn"""
    port: int = 0
    tls: ssl.SSLContext | None = None

    @contextmanager
    def listening(self, port: int = 0) -> Iterator["FakePacs"]:
        """Listen on loopback inside."""
        ae = AE("FAKEPACS")
        ae.add_supported_context(Verification)
        everything = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
        for storage_class in everything if self.storage_classes is None else self.storage_classes:
            ae.add_supported_context(storage_class)
        handlers = [
            (evt.EVT_C_STORE, self._on_c_store),
            (evt.EVT_REQUESTED, self._on_requested),
            *self._offer_more(ae),
        ]
        with served(ae, handlers, port, self.tls) as self.port:
            yield self

    def destination(self, **settings: object) -> Destination:
        """This PACS as the settings name it."""
        values: dict[str, object] = {"name": "fake", "ae_title": "FAKEPACS", "host": "127.0.0.1", "timeout_s": 5}
        return Destination.model_validate(values | {"port": self.port} | settings)

    def _offer_more(self, ae: AE) -> Sequence[evt.EventHandlerType]:
        return ()

    def _on_requested(self, event: evt.Event) -> None:
        if self.rejects:
            event.assoc.acse.send_reject(*self.rejects.pop(0))
            event.assoc.is_rejected = True
            event.assoc.kill()

    def _on_c_store(self, event: evt.Event) -> int:
        if self.drop_after is not None and len(self.stored) >= self.drop_after:
            event.assoc.abort()
            return 0xC000
        status = self.statuses.pop(0) if self.statuses else 0x0000
        self.attempts.append((event.request.AffectedSOPInstanceUID, event.request.DataSet.getvalue()))
        if status in (0x0000, 0xB000):
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            self.stored.append(dataset)
        time.sleep(self.delays_s.pop(0) if self.delays_s else 0)
        return status


ALGORITHM = Algorithm(
    name="made-up",
    version="1",
    digest="ab" * 32,
    device_uid="2.25.1234567890",
    weights_sha256="cd" * 32,
    operating_point=0.5,
    prevalence=0.74,
    population="children of 1 to 5 years",
    age_years=(1, 5),
)


@dataclass
class FakeModel:
    """Gives each radiograph the next of `probabilities` (0.9 when they run out), and a map with a peak."""

    probabilities: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    gate: threading.Event | None = None
    algorithm: Algorithm = ALGORITHM

    def read(self, radiographs: Sequence[Film]) -> list[Finding]:
        """One finding a radiograph."""
        self.batches.append(len(radiographs))
        if self.gate is not None:
            self.gate.wait(60)
        y, x = np.mgrid[-1:1:28j, -1:1:28j]
        bump = np.exp(-4 * (x * x + y * y)).astype(np.float32)
        bump /= bump.max()
        return [self._finding(bump) for _ in radiographs]

    def _finding(self, values: NDArray[np.float32]) -> Finding:
        probability = self.probabilities.pop(0) if self.probabilities else 0.9
        return Finding(logit=1.0, probability=probability, heatmap=Heatmap(values, peak=2.0, method="Grad-CAM"))
