"""config/*.toml and the environment become one frozen Settings; every fault is named in one message.

A value comes from the environment (CXRNODE_RECEIVING__PORT=11113), else from the file, else from the default
here. `config/node.example.toml` lists every setting with its default, unit and reason; a test compares them.
"""

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as EnvironmentFault

from cxrnode.archive import Archive
from cxrnode.collector import Audit
from cxrnode.destination import Destination
from cxrnode.errors import SettingsError
from cxrnode.faults import faults_in
from cxrnode.language import languages
from cxrnode.part import AeTitle, Part, Port, Positive, Prevalence
from cxrnode.route import Route, route_faults
from cxrnode.sender import Sender
from cxrnode.uids import digest_of


class Node(Part):
    """Who this node is and where its state lies."""

    ae_title: AeTitle = "CXRNODE"
    state_dir: Path = Path("var")
    name: str = Field(default="cxrnode", min_length=1, max_length=64)

    @property
    def spool_dir(self) -> Path:
        """Where received bytes and results lie."""
        return self.state_dir / "spool"

    @property
    def run_dir(self) -> Path:
        """Where the embedded broker's socket and the generated passwords lie."""
        return self.state_dir / "run"


class Receiving(Part):
    """The DICOM SCP."""

    host: str = "127.0.0.1"
    port: Port = 11112
    quiet_s: Positive = 20.0
    ask_after_s: Positive = 3.0
    longest_wait_s: Positive = 120.0
    senders: tuple[Sender, ...] = ()
    storage_classes: Literal["all"] | tuple[str, ...] = "all"
    max_associations: int = Field(default=32, ge=1, le=1000)
    max_associations_per_sender: int = Field(default=8, ge=1, le=1000)
    largest_instance_mb: int = Field(default=1024, ge=1, le=1024)
    reserve_gb: float = Field(default=1.0, ge=0)
    network_timeout_s: Positive = 60.0


class Ledger(Part):
    """The database that knows the state of every study."""

    url: str = ""


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


class Rules(Part):
    """Which instances are read, and what happens outside the model's population."""

    modalities: tuple[str, ...] = ("CR", "DX")
    body_parts: tuple[str, ...] = ("CHEST", "THORAX", "LUNG")
    views: tuple[str, ...] = ("PA", "AP")
    view_absent: Literal["read", "refuse"] = "read"
    require_patient_id: bool = True
    read_for_processing: bool = False
    outside_population: Literal["warn", "refuse"] = "warn"
    gate: Literal["refuse", "warn", "off"] = "refuse"


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


class Retention(Part):
    """How long the bytes of finished studies are kept."""

    keep_days: float = Field(default=0.0, ge=0)


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


class Settings(BaseSettings):
    """Everything that differs between one hospital and the next."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="CXRNODE_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    node: Node = Node()
    receiving: Receiving = Receiving()
    ledger: Ledger = Ledger()
    queue: Queue = Queue()
    worker: Worker = Worker()
    model: ModelChoice = ModelChoice()
    rules: Rules = Rules()
    pixels: Pixels = Pixels()
    results: Results = Results()
    delivery: Delivery = Delivery()
    retention: Retention = Retention()
    destinations: tuple[Destination, ...] = ()
    routes: tuple[Route, ...] = ()
    archives: tuple[Archive, ...] = ()
    audit: Audit = Audit()
    flower: FlowerSettings = FlowerSettings()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic-settings calls with these five
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before the file; nothing else is read."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _agree(self) -> "Settings":
        names = [destination.name for destination in self.destinations]
        faults = list(route_faults(self.routes, names, self.rules.modalities, self.rules.views))
        for what, called in {"destinations": names, "archives": [one.name for one in self.archives]}.items():
            if len(set(called)) != len(called):
                faults.append(f"{what} share a name: {', '.join(called)}; wanted one name each")
        if self.queue.lease_s <= self.queue.time_limit_s:
            faults.append(
                f"queue.lease_s = {self.queue.lease_s} is not above queue.time_limit_s = {self.queue.time_limit_s}; "
                "a lease must outlive the longest task"
            )
        faults += [
            f"destinations {one.name}: timeout_s = {one.timeout_s:g} is not below queue.time_limit_s = "
            f"{self.queue.time_limit_s}; a delivery to a silent archive would be stopped before it can say so"
            for one in self.destinations
            if one.timeout_s >= self.queue.time_limit_s
        ]
        if not any(sender.return_port for sender in self.receiving.senders):
            faults += [
                f"destinations {one.name}: return_to_sender = true, and no receiving.senders has a return_port; "
                "wanted the port of each to whom results go back"
                for one in self.destinations
                if one.return_to_sender
            ]
        waits = (self.receiving.ask_after_s, self.receiving.quiet_s, self.receiving.longest_wait_s)
        if any(sender.query for sender in self.receiving.senders) and not waits[0] < waits[1] <= waits[2]:
            faults.append(
                f"receiving.ask_after_s, quiet_s and longest_wait_s are {', '.join(f'{one:g}' for one in waits)}; "
                "wanted the first below the second, and the third not below it, where a sender is asked (query = true)"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL: the one set, else a SQLite file in the state folder."""
        return self.ledger.url or f"sqlite:///{self.node.state_dir.absolute() / 'ledger.sqlite'}"

    @property
    def broker_url(self) -> str:
        """The broker's URL: the one set, else the embedded broker's socket."""
        return self.queue.broker_url or f"redis+socket://{self.node.run_dir.absolute() / 'broker.sock'}"

    @property
    def most_attempts(self) -> int:
        """How often an analysis is begun: once more than it is tried where a destination wants a failure's report."""
        return self.queue.max_attempts + any(one.send.failed for one in self.destinations)

    @property
    def result_digest(self) -> str:
        """Digest of the settings that change what a result looks like."""
        half = {"gpu_precision": "half"} if self.worker.gpu_precision == "half" else {}
        parts = (self.results, self.rules, self.pixels)
        return digest_of({key: value for part in parts for key, value in part.model_dump(mode="json").items()} | half)


def load(path: Path | None = None) -> Settings:
    """Read the settings from `path` (or $CXRNODE_CONFIG, or none: defaults) and the environment.

    Raises SettingsError with every fault: key, value and what was wanted.
    """
    if path is None and os.environ.get("CXRNODE_CONFIG"):
        path = Path(os.environ["CXRNODE_CONFIG"])
    table: dict[str, Any] = {}
    where = str(path) if path else "the environment"
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read ({error.strerror}); wanted a settings file") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: not TOML ({error})") from error
    try:
        return Settings(**table)
    except EnvironmentFault as error:
        raise SettingsError(f"the environment: {error}; wanted JSON where a setting is a list or a table") from error
    except ValidationError as error:
        raise SettingsError(faults_in(where, error)) from error
