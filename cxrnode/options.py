"""The tables of the settings file that say how this node works and what it makes; settings.py puts all together."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from cxrnode.language import languages
from cxrnode.part import Part, Port, Positive, Prevalence


class Queue(Part):
    """How work reaches the workers, and how long one may hold it."""

    broker_url: str = ""
    time_limit_s: int = Field(default=300, ge=5)
    lease_s: int = Field(default=360, ge=1)
    max_attempts: int = Field(default=3, ge=1)
    studies_per_task: int = Field(default=8, ge=1, le=256)
    replay_studies_per_task: int = Field(default=1, ge=1, le=256)
    reconcile_s: Positive = 1.0
    resubmit_s: Positive = 10.0


class Worker(Part):
    """The processes that hold the model."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    processes: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=0)
    delivery_processes: int = Field(default=2, ge=1, le=64)
    gpu_batch: int = Field(default=16, ge=1, le=1024)
    gpu_memory_gb: float = Field(default=0.0, ge=0)
    gpu_precision: Literal["single", "half"] = "single"


class ModelChoice(Part):
    """Which model reads where no route says another, for which prevalence, and which segmenter finds lungs for all."""

    name: str = "pneumonia-efficientnet-lite0"
    prevalence: Prevalence | None = None
    lungs: str = "lungs-unet"
    zoo_dir: str = ""

    @property
    def zoo(self) -> Path | None:
        """The folder of model folders; None is the one that comes with the program."""
        return Path(self.zoo_dir) if self.zoo_dir else None


class Pixels(Part):
    """How much of a film is decoded."""

    jpeg_2000: Literal["model", "overlay", "film"] = "model"


class Results(Part):
    """What is made of a reading."""

    overlay_longest_side: int = Field(default=1280, ge=256, le=4096)
    not_localised: Literal["say", "draw"] = "say"
    language: str = "en"

    @field_validator("language")
    @classmethod
    def _there_is(cls, language: str) -> str:
        if language not in languages():
            raise ValueError(f"there is no such language; wanted one of {', '.join(languages())}")
        return language


class Delivery(Part):
    """How often and how long a delivery is tried again."""

    first_retry_s: Positive = 5.0
    longest_retry_s: Positive = 600.0
    give_up_after_h: Positive = 72.0

    @property
    def give_up(self) -> timedelta:
        """How long a delivery is tried."""
        return timedelta(hours=self.give_up_after_h)


class FlowerSettings(Part):
    """The operators' window on the queue."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 5555
    user: str = Field(default="operator", pattern=r"^[A-Za-z0-9_.-]+$")
    password: str = ""


class Log(Part):
    """What is written to standard error, one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = "info"
