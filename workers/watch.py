"""Flower, the operators' page: on the address of the settings, behind basic auth; it sees random keys only."""

import os

from cxrnode.settings import Settings
from cxrnode.up import flower_password


def watch(settings: Settings) -> None:
    """Serve Flower until stopped. The password goes by the environment: a command line is for all to read."""
    from workers.app import app

    os.environ["FLOWER_BASIC_AUTH"] = f"{settings.flower.user}:{flower_password(settings)}"
    app.start(
        [
            "flower",
            f"--address={settings.flower.host}",
            f"--port={settings.flower.port}",
            "--persistent=False",
            "--logging=error",
        ]
    )
