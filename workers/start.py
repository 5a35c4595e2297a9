"""Start a worker process: one role, its queues, its pool; the model's card is checked before anything is forked."""

import importlib
from typing import Literal

from celery.signals import worker_ready

from cxrnode.jobs import ANALYSIS_QUEUES, DELIVERY_QUEUES
from cxrnode.metrics import zeros
from cxrnode.metrics.port import serve
from cxrnode.routing import choices
from cxrnode.settings import Settings
from models.card import find
from models.ensemblecard import card_of
from models.gatecard import check_gate
from models.lungcard import check_lungs

Role = Literal["analyse", "deliver"]
METRICS = {"analyse": "analysis_port", "deliver": "delivery_port"}


def work(settings: Settings, role: Role) -> None:
    """Work until stopped by SIGTERM (a task in hand is finished first). Raises ModelMismatch before starting."""
    if role == "analyse":
        cards = [(card_of(find(choice.model, settings.model.zoo)), choice.prevalence) for choice in choices(settings)]
        zeros.of_analysis({f"{card.algorithm(at).name} {card.algorithm(at).version}" for card, at in cards})
        check_gate(settings.rules.gate, settings.model.zoo)
        check_lungs(settings.model.lungs, settings.model.zoo)
        importlib.import_module("workers.gpu")  # connects the signal that makes each child own its models
    else:
        zeros.of_delivery(one.name for one in settings.destinations)
    from workers.app import app

    port = getattr(settings.metrics, METRICS[role])
    worker_ready.connect(lambda **_: serve(settings.metrics.host, port), weak=False)
    queues = (ANALYSIS_QUEUES if role == "analyse" else DELIVERY_QUEUES).values()
    processes = settings.worker.processes if role == "analyse" else settings.worker.delivery_processes
    app.worker_main(
        [
            "worker",
            f"--hostname={role}@%h",
            f"--queues={','.join(queues)}",
            f"--concurrency={processes}",
            "--pool=prefork",
            "--without-mingle",
            "--without-gossip",
            f"--loglevel={settings.log.level.upper()}",
        ]
    )
