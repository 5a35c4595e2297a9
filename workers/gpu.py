"""Once per process: load the model in the child, warm it, and refuse to start when its card is not kept."""

import os
from typing import Any

from celery.signals import worker_process_init

from cxrnode.log import logger, start
from cxrnode.settings import Settings, load
from models.card import find
from models.reader import Reader
from models.reader import load as load_reader

LOG = logger("gpu")
_owned: list[Reader] = []


def open_reader(settings: Settings) -> Reader:
    """The model in the settings, loaded and warm. Raises ModelMismatch."""
    reader = load_reader(find(settings.model.name, settings.model.zoo), settings.worker.device, _threads(settings))
    reader.warm()
    return reader


def reader() -> Reader:
    """This process's one model."""
    return _owned[0]


@worker_process_init.connect
def _own_a_model(**_: Any) -> None:
    """In the child, after the fork: torch that has worked in the parent hangs every child."""
    settings = load()
    start(settings.log.level)
    _owned[:] = [open_reader(settings)]
    LOG.info("model ready", model=reader().card.name, device=str(reader().device))


def _threads(settings: Settings) -> int:
    """Threads for each process: processes times threads must not exceed the cores, or all of them crawl."""
    return settings.worker.threads or max(1, len(os.sched_getaffinity(0)) // settings.worker.processes)
