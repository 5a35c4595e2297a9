"""Start a worker process: one role, its queues, its pool; the model's card is checked before anything is forked."""

import importlib
import os
import signal
from functools import partial
from typing import Literal

from celery.concurrency import get_implementation
from celery.signals import worker_ready
from celery.utils.nodenames import host_format

from cxrnode.headers.routing import choices
from cxrnode.jobs import ANALYSIS_QUEUES, DELIVERY_QUEUES
from cxrnode.metrics import zeros
from cxrnode.metrics.port import serve
from cxrnode.serving.anew import good, on_hangup
from cxrnode.settings import Settings
from cxrnode.unswept import unswept
from models.card import find
from models.ensemblecard import card_of
from models.gatecard import check_gate
from models.lungcard import check_lungs

Role = Literal["analyse", "deliver"]
METRICS = {"analyse": "analysis_port", "deliver": "delivery_port"}


def work(settings: Settings, role: Role) -> bool:
    """Work until SIGTERM or SIGHUP (a task in hand is finished first); whether it was SIGHUP, and it is to begin anew.

    Raises ModelMismatch before starting.
    """
    asked: list[bool] = []
    on_hangup(lambda: asked.append(True), _end)
    with unswept():
        if role == "analyse":
            _require_models(settings)
            importlib.import_module("workers.gpu")  # connects the signal that makes each child own its models
            importlib.import_module("workers.analysis")
        else:
            zeros.of_delivery(one.name for one in settings.destinations)
        from workers.app import app

        app.loader.import_default_modules()  # the tasks
    port = getattr(settings.metrics, METRICS[role])
    worker_ready.connect(lambda **_: serve(settings.metrics.host, port), weak=False)
    queues = (ANALYSIS_QUEUES if role == "analyse" else DELIVERY_QUEUES).values()
    worker = app.Worker(  # what `celery worker` calls, whose command line would cost the start a fifth of a second
        hostname=host_format(f"{role}@%h"),
        queues=list(queues),
        concurrency=settings.worker.processes if role == "analyse" else settings.worker.delivery_processes,
        pool_cls=get_implementation("prefork"),
        without_mingle=True,
        without_gossip=True,
        loglevel=settings.log.level.upper(),
    )
    worker_ready.connect(lambda **_: _ready(asked), weak=False)
    worker.start()
    if worker.exitcode:
        raise SystemExit(worker.exitcode)
    return bool(asked)


def _ready(asked: list[bool]) -> None:
    """From now on a SIGHUP ends it in peace, in place of Celery's own way; one that came before ends it at once."""
    on_hangup(partial(_end_for_now, asked), _end)
    if asked:
        _end()


def _end_for_now(asked: list[bool]) -> None:
    """At a SIGHUP, unless the settings are wrong: then it goes on by those of before."""
    if not asked and good():  # told twice, Celery would cut short what is in hand
        asked.append(True)
        _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)  # Celery's warm shutdown


def _require_models(settings: Settings) -> None:
    """Raises ModelMismatch where a card does not fit."""
    cards = [(card_of(find(choice.model, settings.model.zoo)), choice.prevalence) for choice in choices(settings)]
    zeros.of_analysis({f"{card.algorithm(at).name} {card.algorithm(at).version}" for card, at in cards})
    check_gate(settings.rules.gate, settings.model.zoo)
    check_lungs(settings.model.lungs, settings.model.zoo)
