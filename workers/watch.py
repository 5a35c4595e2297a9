"""Flower, the operators' page: on the address of the settings, behind basic auth; it sees random keys only."""

import os

from flower.options import options
from flower.views.auth import LogoutHandler
from flower.views.monitor import Metrics
from tornado.web import authenticated

from cxrnode.settings import Settings
from cxrnode.up import flower_password

COLUMNS = "name,args,state,received,runtime,worker,uuid"
GONE_S = 86_400
"""A worker that has said nothing for so long is not listed any more: a container has another name every time."""


def watch(settings: Settings) -> None:
    """Serve Flower until stopped, as the settings alone say: no FLOWER_* variable counts, nor a file beside it.

    Raises SettingsError where the password's file cannot be read.
    """
    from workers.app import app

    for name in [name for name in os.environ if name.startswith("FLOWER_")]:
        del os.environ[name]
    # a command line is for all to read, and a variable of Flower's is cut into several passwords at each comma
    options.basic_auth = [f"{settings.flower.user}:{flower_password(settings)}"]
    for page in (Metrics, LogoutHandler):  # Flower shows these to everybody
        page.get = authenticated(page.get)
    app.start(
        [
            "flower",
            f"--conf={os.devnull}",
            f"--address={settings.flower.host}",
            f"--port={settings.flower.port}",
            f"--url_prefix={settings.flower.url_prefix.strip('/')}",
            f"--read_only={settings.flower.read_only}",
            f"--tasks_columns={COLUMNS}",
            f"--purge_offline_workers={GONE_S}",
            "--persistent=False",
            "--logging=error",
        ]
    )
