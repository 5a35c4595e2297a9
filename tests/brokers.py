"""A Redis as on another machine: over TLS alone, for who knows its password and has a certificate; ended by pid."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kombu import pools

from cxrnode.commands.samples import free_ports
from cxrnode.errors import BrokerUnavailable
from cxrnode.jobs import Jobs
from cxrnode.settings import Settings
from cxrnode.settings.certificates import Certificates
from cxrnode.settings.options import Queue
from tests.authority import Authority
from tests.peers import program

PASSWORD = "s3:c/r@t %41#?"  # noqa: S105  made up, with whatever an address has a meaning for
CONFIG = """\
port 0
tls-port {port}
bind 127.0.0.1
save ""
tls-cert-file {certificate_file}
tls-key-file {key_file}
tls-ca-cert-file {ca_file}
user default off
user cxrnode on ">{password}" ~* &* +@all
"""


@dataclass(frozen=True)
class Broker:
    """A redis-server that is spoken to over TLS alone, by who knows its password and has a certificate."""

    port: int
    folder: Path
    ours: Certificates

    def settings(self, **changed: str) -> Settings:
        """Settings that name it."""
        return Settings(queue=Queue.model_validate(self.queue | changed))

    @property
    def queue(self) -> dict[str, object]:
        """The table that names it."""
        return {
            "broker_url": f"rediss://127.0.0.1:{self.port}/0",
            "user": "cxrnode",
            "password_file": str(self.folder / "password"),
            "ca_file": self.ours.ca_file,
            "certificate_file": self.ours.certificate_file,
            "key_file": self.ours.key_file,
        }

    def waiting(self, **changed: str) -> list[int]:
        """How many tasks wait in a queue of it."""
        jobs = Jobs(self.settings(**changed).broker_url)
        try:
            return jobs.waiting("live")
        finally:
            jobs.close()
            pools.reset()  # kombu keeps connections by address alone


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """Run it inside; its password lies in `folder`/password."""
    authority = Authority(folder / "ca")
    theirs = authority.certificates("broker.example")
    (port,) = free_ports(1)
    (folder / "password").write_text(f"{PASSWORD}\n")
    config = folder / "redis.conf"
    config.write_text(CONFIG.format(port=port, password=PASSWORD, **theirs.model_dump()))
    made = Broker(port, folder, authority.certificates("node.example"))
    with (folder / "redis.log").open("wb") as sink:
        process = subprocess.Popen([program("redis-server"), str(config)], stdout=sink, stderr=sink)
    try:
        give_up = time.monotonic() + 20
        while True:
            try:
                made.waiting()
                break
            except BrokerUnavailable:
                if time.monotonic() > give_up or process.poll() is not None:
                    raise AssertionError((folder / "redis.log").read_text()) from None
                time.sleep(0.1)
        yield made
    finally:
        process.terminate()
        process.wait(10)
