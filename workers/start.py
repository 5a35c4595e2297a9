"""Start a worker process: one role, its queues, its pool; the model's card is checked before anything is forked."""

import importlib
from typing import Literal

from celery.concurrency import get_implementation
from celery.utils.nodenames import host_format

from cxrnode.jobs import ANALYSIS_QUEUES, DELIVERY_QUEUES
from cxrnode.routing import choices
from cxrnode.settings import Settings
from cxrnode.unswept import unswept
from models.card import find
from models.ensemblecard import card_of
from models.gatecard import check_gate
from models.lungcard import check_lungs

Role = Literal["analyse", "deliver"]


def work(settings: Settings, role: Role) -> None:
    """Work until stopped by SIGTERM (a task in hand is finished first). Raises ModelMismatch before starting."""
    with unswept():
        if role == "analyse":
            for choice in choices(settings):
                card_of(find(choice.model, settings.model.zoo)).algorithm(choice.prevalence)
            check_gate(settings.rules.gate, settings.model.zoo)
            check_lungs(settings.model.lungs, settings.model.zoo)
            importlib.import_module("workers.gpu")  # connects the signal that makes each child own its models
            importlib.import_module("workers.analysis")
        from workers.app import app

        app.loader.import_default_modules()  # the tasks
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
    worker.start()
    if worker.exitcode:
        raise SystemExit(worker.exitcode)
