"""Whether a password is asked for where anybody else could come in: at Flower's page, and at the broker."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from redis import Redis, RedisError

from cxrnode.errors import SettingsError
from cxrnode.settings import Settings
from cxrnode.up import flower_password

PATIENCE_S = 5.0
SHORTEST = 12
"""Characters of a password that a person has chosen."""


def of_flower(settings: Settings) -> str:
    """Raises SettingsError where it cannot be read, or is soon guessed."""
    if not settings.flower.enabled:
        return "no Flower is wanted"
    made = settings.node.run_dir / "flower-password"
    if not (settings.flower.password or settings.flower.password_file):
        return f"{'is' if made.exists() else 'will be'} made up by the node, in {made}"
    if len(flower_password(settings)) < SHORTEST:
        raise SettingsError(f"Flower's password is shorter than {SHORTEST} characters; wanted `openssl rand -hex 24`")
    beyond = "" if is_here(settings.flower.host) else ", and its page is for other machines too, in clear text"
    return f"the settings' own, of {SHORTEST} characters or more{beyond}"


def flower_word(settings: Settings) -> str:
    """Flower's password, empty where it has none yet: none is made. Raises SettingsError."""
    chosen = settings.flower.password or settings.flower.password_file
    return flower_password(settings) if chosen or (settings.node.run_dir / "flower-password").exists() else ""


def asked_of_broker(settings: Settings) -> str:
    """Whether it answers without one: whoever may write there has the workers run tasks; on this machine alone it may.

    Raises SettingsError.
    """
    parts = urlsplit(settings.broker_url)
    if not _answers_anybody(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()):
        return "asks for a password"
    if is_here(parts.hostname or "localhost"):
        return "asks nobody on this machine for a password"
    raise SettingsError(
        f"the broker at {parts.hostname} asks nobody for a password, and whoever writes there has the workers run "
        "tasks; wanted `requirepass` there, and queue.password_file"
    )


def is_here(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answers_anybody(url: str) -> bool:
    asked = Redis.from_url(url, socket_connect_timeout=PATIENCE_S, socket_timeout=PATIENCE_S)
    try:
        return bool(asked.ping())
    except (RedisError, OSError):
        return False
    finally:
        asked.close()
