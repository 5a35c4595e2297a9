"""Once per process: load the models in the child, warm them, and refuse to start when a card is not kept."""

import os
from typing import Any

from celery.signals import worker_process_init

from cxrnode.analyse import Model
from cxrnode.errors import CxrNodeError
from cxrnode.headers.routing import Choice, choices
from cxrnode.log import logger, start
from cxrnode.metrics import counts
from cxrnode.settings import Settings, load
from models.devices import choose
from models.memory import memory
from models.passes import ALONE
from models.shelf import Shelf, shelf_for

LOG = logger("gpu")
_owned: list[Shelf] = []
_together: list[int] = []


def open_shelf(settings: Settings) -> Shelf:
    """Every model that the settings may ask for, loaded and warm. Raises ModelMismatch."""
    shelf = shelf_for(settings, _threads(settings))
    for choice in choices(settings):
        reader = shelf.reader(choice.model, choice.prevalence)
        reader.warm()
        LOG.info("model ready", model=choice.model, prevalence=reader.algorithm.prevalence, device=str(reader.device))
    return shelf


def model_for(choice: Choice) -> Model:
    """One of this process's models."""
    return _owned[0].reader(choice.model, choice.prevalence)


def together() -> int:
    """How many studies are read at a time: what is more urgent waits for no more."""
    return _together[0]


def tell_memory() -> None:
    """Count how much of the GPU's memory this process holds, where it uses one."""
    if (now := memory()) is not None:
        counts.GPU_SIZE.set(now.size)
        counts.GPU_FREE.set(now.free)
        counts.GPU_HELD.set(now.held)


@worker_process_init.connect
def _own_the_models(**_: Any) -> None:
    """In the child, after the fork: torch that has worked in the parent hangs every child.

    A child without its models ends, for Celery lets one live whose signal failed, and it would fail every study.
    """
    settings = load()
    start(settings.log.level)
    try:
        _owned[:] = [open_shelf(settings)]
    except Exception as error:
        LOG.error("no model", reason=str(error) if isinstance(error, CxrNodeError) else type(error).__name__)
        raise SystemExit(1) from error
    tell_memory()
    on_gpu = choose(settings.worker.device).type == "cuda"
    _together[:] = [settings.worker.gpu_batch if on_gpu else ALONE]


def _threads(settings: Settings) -> int:
    """Threads for each process: processes times threads must not exceed the cores, or all of them crawl."""
    return settings.worker.threads or max(1, len(os.sched_getaffinity(0)) // settings.worker.processes)
