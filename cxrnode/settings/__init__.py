"""config/*.toml and the environment become one frozen Settings; every fault is named in one message.

A value comes from the environment (CXRNODE_RECEIVING__PORT=11113), else from the file, else from the default
here. `config/node.example.toml` lists every setting with its default, unit and reason; a test compares them.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as EnvironmentFault

from cxrnode.errors import SettingsError
from cxrnode.faults import faults_in
from cxrnode.settings.archive import Archive
from cxrnode.settings.certificates import Certificates, absent_files, with_shared_certificates
from cxrnode.settings.collector import Audit
from cxrnode.settings.destination import Destination
from cxrnode.settings.listener import MAIN, Listener, Listening, listener_faults, with_receiving
from cxrnode.settings.options import Delivery, FlowerSettings, Log, ModelChoice, Pixels, Queue, Results, Worker
from cxrnode.settings.part import AeTitle, Part, Positive
from cxrnode.settings.quality import CanarySettings, DriftSettings, canary_faults
from cxrnode.settings.route import Route, route_faults
from cxrnode.settings.sender import Sender
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


class Receiving(Listening):
    """The DICOM SCP: where it listens, and what holds for every receiver of the node."""

    quiet_s: Positive = 20.0
    ask_after_s: Positive = 3.0
    longest_wait_s: Positive = 120.0
    reserve_gb: float = Field(default=1.0, ge=0)


class Ledger(Part):
    """The database that knows the state of every study."""

    url: str = ""


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


class Retention(Part):
    """How long the bytes of finished studies are kept."""

    keep_days: float = Field(default=0.0, ge=0)


class Metrics(Part):
    """Where Prometheus is answered: a port for each service, 0 for none."""

    host: str = "127.0.0.1"
    receiver_port: int = Field(default=11120, ge=0, le=65535)
    analysis_port: int = Field(default=11121, ge=0, le=65535)
    delivery_port: int = Field(default=11122, ge=0, le=65535)


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
    receivers: tuple[Listener, ...] = ()
    tls: Certificates = Certificates()
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
    canary: CanarySettings = CanarySettings()
    drift: DriftSettings = DriftSettings()
    audit: Audit = Audit()
    flower: FlowerSettings = FlowerSettings()
    metrics: Metrics = Metrics()
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

    @model_validator(mode="before")
    @classmethod
    def _by_what_is_shared(cls, given: Any) -> Any:
        return with_shared_certificates(with_receiving(given))

    @model_validator(mode="after")
    def _agree(self) -> "Settings":
        names = [destination.name for destination in self.destinations]
        faults = list(route_faults(self.routes, names, self.rules.modalities, self.rules.views))
        for what, called in {"destinations": names, "archives": [one.name for one in self.archives]}.items():
            if len(set(called)) != len(called):
                faults.append(f"{what} share a name: {', '.join(called)}; wanted one name each")
        faults += listener_faults(self.listeners)
        here = (self.receiving.host, self.receiving.quiet_s, self.receiving.senders)
        faults += canary_faults(self.canary, *here, names, self.routes)
        if self.model.shadow == self.model.name:
            faults.append(f"model.shadow = {self.model.shadow!r} is model.name; wanted another model, or none")
        over = {one.name: one.tls for one in self.listeners} | {one.ae_title: one.return_tls for one in self.senders}
        over |= {one.name: one.tls for one in self.destinations} | {one.name: one.tls for one in self.archives}
        faults += absent_files(over)
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
        if not any(sender.return_port for sender in self.senders):
            faults += [
                f"destinations {one.name}: return_to_sender = true, and no receiving.senders has a return_port; "
                "wanted the port of each to whom results go back"
                for one in self.destinations
                if one.return_to_sender
            ]
        waits = (self.receiving.ask_after_s, self.receiving.quiet_s, self.receiving.longest_wait_s)
        if any(sender.query for sender in self.senders) and not waits[0] < waits[1] <= waits[2]:
            faults.append(
                f"receiving.ask_after_s, quiet_s and longest_wait_s are {', '.join(f'{one:g}' for one in waits)}; "
                "wanted the first below the second, and the third not below it, where a sender is asked (query = true)"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The receivers of this node: that of [receiving], then the others."""
        common = {name: getattr(self.receiving, name) for name in Listening.model_fields}
        own = {"name": MAIN, "ae_title": self.node.ae_title, "metrics_port": self.metrics.receiver_port}
        return (Listener.model_validate(common | own), *self.receivers)

    def listener(self, name: str) -> Listener:
        """The receiver of this name. Raises SettingsError where there is none."""
        for one in self.listeners:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.listeners)
        raise SettingsError(f"there is no receiver {name!r}; wanted one of {known}")

    @property
    def senders(self) -> tuple[Sender, ...]:
        """Whoever may send to this node, by whichever of its receivers."""
        found: list[Sender] = []
        for one in self.listeners:
            found += [sender for sender in one.senders if sender not in found]
        return tuple(found)

    @property
    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL: the one set, else a SQLite file in the state folder."""
        return self.ledger.url or f"sqlite:///{self.node.state_dir.absolute() / 'ledger.sqlite'}"

    @property
    def broker_url(self) -> str:
        """The broker's URL: the one set, with its password, else the embedded broker's socket. Raises SettingsError."""
        return self.queue.url or f"redis+socket://{self.node.run_dir.absolute() / 'broker.sock'}"

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
