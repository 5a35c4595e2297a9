"""A real PostgreSQL for the tests: one server a test process, deaf to the network, ended with it; databases by name."""

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from functools import cache
from ipaddress import ip_interface
from pathlib import Path

import psycopg
from psycopg import sql

from tests.peers import program

OWNER = "postgres"
"""Whom the server runs as, where the tests run as root, which PostgreSQL refuses; Debian's package makes this user."""
CARELESS = ("fsync=off", "full_page_writes=off")
"""Quick, and safe as long as the machine stays up: a server that is killed loses nothing that was committed."""


class Server:
    """A server in a folder of its own, reached through a Unix socket there; its user is "cxrnode".

    With an `address` of a network (10.77.0.1/24) it listens there too, and trusts that network.
    """

    def __init__(self, address: str = "") -> None:
        self._bin = binaries()
        self._listen = address.partition("/")[0]
        self.folder = Path(tempfile.mkdtemp(prefix="cxrnode-postgres-"))
        self._as_owner = ["setpriv"]
        if os.geteuid() == 0:
            shutil.chown(self.folder, OWNER, OWNER)
            self._as_owner += [f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"]
        initdb = ["--username=cxrnode", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run("initdb", f"--pgdata={self.folder / 'data'}", *initdb)
        if address:
            with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all cxrnode {ip_interface(address).network} trust\n")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers; if the tests are killed, the kernel ends it."""
        settings = [*CARELESS, f"listen_addresses={self._listen}", f"unix_socket_directories={self.folder}"]
        options = [word for setting in settings for word in ("-c", setting)]
        command = [*self._as_owner, "--pdeathsig=INT", self._bin / "postgres", "-D", self.folder / "data", *options]
        with (self.folder / "log").open("ab") as sink:
            self._process = subprocess.Popen(command, cwd="/", stdout=sink, stderr=sink)
        give_up = time.monotonic() + 60
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > give_up or self._process.poll() is not None:
                    raise AssertionError((self.folder / "log").read_text()[-4000:]) from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it at once, as a crash does: every session is cut off (`pg_ctl stop -m immediate`)."""
        if self._process.poll() is None:
            self._run("pg_ctl", "stop", "-D", str(self.folder / "data"), "-m", "immediate")
        self._process.wait(60)

    def remove(self) -> None:
        """Stop it and delete everything."""
        self.stop()
        shutil.rmtree(self.folder)

    def database(self, name: str) -> str:
        """The URL of the database of this name; an empty one is made where there is none."""
        if not self.execute("SELECT 1 FROM pg_database WHERE datname = %s", name):
            self.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY file_copy").format(sql.Identifier(name))
            )
        return f"postgresql://cxrnode@/{name}?host={self.folder}"

    def drop(self, name: str) -> None:
        """Remove a database, whoever uses it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: str | sql.Composed, *values: object) -> list[tuple[object, ...]]:
        """Run one statement outside of every ledger."""
        with psycopg.connect(host=str(self.folder), user="cxrnode", dbname="postgres", autocommit=True) as db:
            done = db.execute(statement, values)  # type: ignore[arg-type]  # our own text
            return done.fetchall() if done.description else []

    def _run(self, name: str, *arguments: str) -> None:
        command = [*self._as_owner, self._bin / name, *arguments]
        ended = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{name}: {ended.stdout}{ended.stderr}"


@cache
def server() -> Server:
    """This test process's server, started by the first test that wants it."""
    started = Server()
    atexit.register(started.remove)
    return started


def binaries() -> Path:
    """Where PostgreSQL's programs lie: Debian keeps those of each version apart, and only clients on PATH.

    Without them the test skips, and under CI=true fails.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else Path(program("initdb")).resolve().parent
