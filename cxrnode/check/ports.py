"""Each address that the node listens at: free, or its own by what answers; else who may be in the way."""

import base64
import errno
import socket
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection, HTTPException

from cxrnode.check.holders import holders
from cxrnode.check.passwords import flower_word
from cxrnode.errors import PeerUnavailable, SettingsError
from cxrnode.peers.calling import VERIFICATION_CONTEXT, associate
from cxrnode.receive import admits
from cxrnode.results.encode import IMPLEMENTATION_CLASS_UID
from cxrnode.settings import Settings
from cxrnode.settings.certificates import ANY_NAME
from cxrnode.settings.destination import Destination
from cxrnode.settings.listener import Listener

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where one that listens everywhere is called
PATIENCE_S = 5.0
TRIES = "CXRCHECK"
"""The AE title that calls where any may."""
MOST = 2**20
"""Bytes of a page that are looked at."""
Address = tuple[str, int]


def ports(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    """A look for each address; each returns a sentence or raises SettingsError."""
    receivers = [(one.called, partial(_receiver, one)) for one in settings.listeners]
    host = settings.metrics.host
    metrics = [(f"metrics of {of}", partial(_metrics, (host, port))) for of, port in _figures(settings).items() if port]
    return [*receivers, *metrics, ("Flower", partial(_flower, settings)), ("ports", partial(_apart, settings))]


def is_free(at: Address) -> bool:
    """Whether this user could listen there now. Raises SettingsError where it never could."""
    try:
        with socket.create_server(at, family=socket.AF_INET6 if ":" in at[0] else socket.AF_INET):
            return True
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        why, wanted = (
            str(error.strerror).partition(" (")[0],
            "an address of this machine, a port that this user may take",
        )
        raise SettingsError(f"{_where(at)} cannot be listened at ({why}); wanted {wanted}") from error


def _receiver(listener: Listener) -> str:
    """Taken, it is called as whoever may call from here; where nobody may, its process tells whose it is."""
    at, ae_title = (listener.host, listener.port), listener.ae_title
    if is_free(at):
        return f"{_where(at)} is free; {ae_title} will listen there"
    calling_ae = _caller(listener)
    if calling_ae is None:
        if any(one.part == "receive" for one in holders(listener.port)):
            return f"{_where(at)} is {_whose(at)}; nobody may call from this machine, so it was not tried"
        raise SettingsError(f"{_where(at)} is taken by {_whose(at)}; wanted it free, or {ae_title} there")
    try:
        answered = _implementation(listener, calling_ae)
    except PeerUnavailable as error:
        raise SettingsError(f"{_where(at)} is taken by {_whose(at)}, and {error}; wanted {ae_title} there") from error
    if answered != IMPLEMENTATION_CLASS_UID:
        told = f"{_where(at)} is taken by {_whose(at)}: it answers as another program ({answered or 'unnamed'})"
        raise SettingsError(f"{told}; wanted it free, or {ae_title} there")
    return f"{_where(at)} is this node's: {ae_title} answers"


def _implementation(listener: Listener, calling_ae: str) -> str:
    """The Implementation Class UID (PS3.7 D.3.3.2) of what answers under our AE title. Raises PeerUnavailable."""
    where = {"ae_title": listener.ae_title, "host": _near(listener.host), "port": listener.port}
    over = {"tls": listener.tls, "tls_name": ANY_NAME, "timeout_s": PATIENCE_S}
    peer = Destination.model_validate({"name": "it"} | where | over)
    association = associate(peer, calling_ae, {VERIFICATION_CONTEXT})
    association.release()
    return str(association.acceptor.implementation_class_uid or "")


def _caller(listener: Listener) -> str | None:
    """An AE title that may call from this machine, by a certificate of whatever name."""
    known = [one.ae_title for one in listener.senders] or [TRIES]
    named = frozenset[str]() if listener.tls else None
    return next((one for one in known if admits(listener, one, _near(listener.host), named)), None)


def _metrics(at: Address) -> str:
    if is_free(at):
        return f"{_where(at)} is free"
    status, page = _page(at, "/metrics")
    if status == 200 and "\ncxrnode_" in page:
        return f"{_where(at)} is this node's: figures are served"
    raise SettingsError(f"{_where(at)} is taken by {_whose(at)}; wanted it free: until then there are no figures")


def _flower(settings: Settings) -> str:
    """Taken, it has to ask for a password, and to take that of the settings."""
    flower = settings.flower
    if not flower.enabled:
        return "not wanted"
    at = (flower.host, flower.port)
    if is_free(at):
        return f"{_where(at)} is free"
    word = base64.b64encode(f"{flower.user}:{flower_word(settings)}".encode()).decode()
    closed, shown = _page(at, f"{flower.url_prefix}/")
    opened, page = _page(at, f"{flower.url_prefix}/", {"Authorization": f"Basic {word}"})
    if (closed, opened) == (401, 200) and "Flower" in page:
        return f"{_where(at)} is this node's: Flower answers to its password alone"
    if closed == 200 and "Flower" in shown:
        raise SettingsError(f"{_where(at)} shows Flower to anybody: {_whose(at)}; wanted a password asked for")
    raise SettingsError(f"{_where(at)} is taken by {_whose(at)}; wanted it free, or Flower with the settings' password")


def _apart(settings: Settings) -> str:
    """No two of them are the same. Raises SettingsError."""
    named = {f"the port of {one.called}": (one.host, one.port) for one in settings.listeners}
    named |= {f"that of {of}'s metrics": (settings.metrics.host, port) for of, port in _figures(settings).items()}
    if settings.flower.enabled:
        named["that of Flower"] = (settings.flower.host, settings.flower.port)
    said = [(name, at) for name, at in named.items() if at[1]]
    faults = [
        f"{one} and {other} are both {at[1]}; wanted a port each"
        for number, (one, at) in enumerate(said)
        for other, there in said[number + 1 :]
        if at[1] == there[1] and (at[0] == there[0] or {at[0], there[0]} & set(ANYWHERE))
    ]
    if faults:
        raise SettingsError("; ".join(faults))
    return f"{len(said)} are listened at, no two the same"


def _page(at: Address, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and page of one question; 0 where there is no answer of the kind."""
    asked = HTTPConnection(_near(at[0]), at[1], timeout=PATIENCE_S)
    try:
        asked.request("GET", path, headers=headers or {})
        answered = asked.getresponse()
        return answered.status, "\n" + answered.read(MOST).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return 0, ""
    finally:
        asked.close()


def _figures(settings: Settings) -> dict[str, int]:
    """The port of each service's figures, 0 where it has none."""
    of_workers = {"analysis": settings.metrics.analysis_port, "delivery": settings.metrics.delivery_port}
    return {one.called: one.metrics_port for one in settings.listeners} | of_workers


def _near(host: str) -> str:
    """Where one that listens at this address is called from its own machine."""
    return ANYWHERE.get(host, host)


def _whose(at: Address) -> str:
    return ", ".join(one.told for one in holders(at[1])) or "a process that this user cannot see"


def _where(at: Address) -> str:
    return f"{at[0]}:{at[1]}"
