"""What commands have in common: `--json`, how days are typed, and the settings with which each begins."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cxrnode.settings import Settings

DATES = ["%Y-%m-%d", "%Y%m%d"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of words for people.")]


def started(level: str | None = "warning") -> "Settings":
    """The settings, and the log begun at this level; None: at the settings' own. Raises SettingsError."""
    from cxrnode.log import start
    from cxrnode.settings import load

    settings = load()
    start(level or settings.log.level)
    return settings
