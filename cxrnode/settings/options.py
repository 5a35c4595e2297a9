"""The tables of the settings file that say how this node works and what it makes; the package puts all together."""

from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from pydantic import Field, field_validator, model_validator

from cxrnode.errors import SettingsError
from cxrnode.settings.language import languages
from cxrnode.settings.part import Part, Port, Positive, Prevalence

FILES = ("ca_file", "certificate_file", "key_file")


def secret_in(file: str, setting: str) -> str:
    """The secret in a file, which has it alone. Raises SettingsError that names the setting."""
    try:
        found = Path(file).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise SettingsError(f"{setting} = {file!r}: cannot be read ({why}); wanted the password alone in it") from error
    if not found:
        raise SettingsError(f"{setting} = {file!r}: is empty; wanted the password alone in it")
    return found


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises where it is no number
    except ValueError as error:
        raise ValueError("broker_url is no address; wanted redis://HOST:PORT/0 or rediss://HOST:PORT/0") from error
    return parts


class Queue(Part):
    """How work reaches the workers, and how long one may hold it."""

    broker_url: str = ""
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    time_limit_s: int = Field(default=300, ge=5)
    lease_s: int = Field(default=360, ge=1)
    max_attempts: int = Field(default=3, ge=1)
    studies_per_task: int = Field(default=8, ge=1, le=256)
    replay_studies_per_task: int = Field(default=1, ge=1, le=256)
    reconcile_s: Positive = 1.0
    resubmit_s: Positive = 10.0

    @model_validator(mode="after")
    def _together(self) -> "Queue":
        if not (named := self._named):
            return self
        parts = _parts(self.broker_url)
        if not parts.hostname:
            raise ValueError(f"{', '.join(named)} given; of no use without a broker_url that names a host")
        if parts.password is not None and self.password_file:
            raise ValueError("password_file and a password in broker_url; wanted one of them")
        if (files := [name for name in FILES if getattr(self, name)]) and parts.scheme != "rediss":
            raise ValueError(f"{', '.join(files)} given, and broker_url speaks no TLS; wanted rediss://")
        if self.user and not self.password_file:
            raise ValueError("user given without password_file; wanted both, or both in broker_url")
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file go together; wanted both or neither")
        return self

    @property
    def _named(self) -> list[str]:
        return [name for name in ("user", "password_file", *FILES) if getattr(self, name)]

    @property
    def url(self) -> str:
        """The broker's URL with password and certificates, for whoever connects and no log. Raises SettingsError.

        Over TLS it always asks for a certificate that is trusted: kombu's own default takes any.
        """
        if not self._named and not self.broker_url.startswith("rediss://"):
            return self.broker_url
        parts = _parts(self.broker_url)
        if self.password_file:
            word = quote(secret_in(self.password_file, "queue.password_file"), safe="")
            parts = parts._replace(netloc=f"{quote(self.user, safe='')}:{word}@{parts.netloc.rpartition('@')[2]}")
        if parts.scheme == "rediss" and "ssl_cert_reqs" not in parts.query:
            names = dict(zip(FILES, ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"), strict=True))
            asked = {"ssl_cert_reqs": "required"} | {to: getattr(self, of) for of, to in names.items()}
            more = urlencode({key: value for key, value in asked.items() if value})
            parts = parts._replace(query="&".join(filter(None, (parts.query, more))))
        return parts.geturl()


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
    shadow: str = ""
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
    password_file: str = ""
    url_prefix: str = Field(default="", pattern=r"^(/[A-Za-z0-9_.~-]+)*$")
    read_only: bool = True

    @model_validator(mode="after")
    def _one(self) -> "FlowerSettings":
        if self.password and self.password_file:
            raise ValueError("password and password_file are set; wanted one of them")
        return self


class Log(Part):
    """What is written to standard error, one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = "info"
