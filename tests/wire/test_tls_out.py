"""Calling over TLS: the peer's certificate must be trusted and have its name, ours is shown, and a fault is told."""

import select
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pynetdicom import evt

from cxrnode import tls
from cxrnode.deliver import echo, send
from cxrnode.errors import PeerUnavailable
from cxrnode.peers.calling import VERIFICATION_CONTEXT, associate
from cxrnode.settings.certificates import ANY_NAME, Certificates
from tests.authority import Authority
from tests.builders import make_cxr
from tests.cables import Mute
from tests.fakes import FakePacs
from tests.nodes import saved


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def ours(authority: Authority) -> Certificates:
    return authority.certificates("node.example")


def renewing(authority: Authority) -> ssl.SSLContext:
    """The rules of a peer that renews its keys as most do: with two tickets right after the handshake."""
    rules = tls.context(authority.certificates("pacs.example"), ssl.PROTOCOL_TLS_SERVER)
    rules.num_tickets = 2
    return rules


@pytest.fixture
def pacs(authority: Authority) -> Iterator[FakePacs]:
    with FakePacs(tls=renewing(authority)).listening() as listening:
        yield listening


@pytest.mark.parametrize("name", ["pacs.example", "127.0.0.1", "", ANY_NAME])
def test_results_go_out_over_tls(pacs: FakePacs, ours: Certificates, tmp_path: Path, name: str) -> None:
    films = [make_cxr() for _ in range(3)]
    files = [saved(film, tmp_path / f"{number}.dcm") for number, film in enumerate(films)]
    answers: list[int | None] = []

    send(files, pacs.destination(tls=ours, tls_name=name), "CXRNODE", lambda _, sent: answers.append(sent.status))

    assert answers == [0, 0, 0]
    assert [one.PixelData for one in pacs.stored] == [film.PixelData for film in films]


@dataclass
class Slow(FakePacs):
    """One that answers when it may."""

    may_answer: threading.Event = field(default_factory=threading.Event)

    def _on_requested(self, event: evt.Event) -> None:
        self.may_answer.wait(10)


def test_keys_that_tls_renews_are_no_message(authority: Authority, ours: Certificates) -> None:
    """pynetdicom would wait for the rest of it, and send nothing meanwhile."""
    seen: list[tuple[bool, bool]] = []

    def look(event: evt.Event) -> None:
        if not pacs.may_answer.is_set():
            connection = event.assoc.dul.socket
            seen.append((bool(select.select([connection.socket], [], [], 10)[0]), connection.ready))
            pacs.may_answer.set()

    with Slow(tls=renewing(authority)).listening() as pacs:
        destination = pacs.destination(tls=ours)
        associate(destination, "CXRNODE", {VERIFICATION_CONTEXT}, [(evt.EVT_PDU_SENT, look)]).release()

    assert seen == [(True, False)]


def test_a_peer_of_another_name_is_not_spoken_to(pacs: FakePacs, ours: Certificates) -> None:
    with pytest.raises(PeerUnavailable, match=r"certificate is not trusted: Hostname mismatch.*'archive\.example'"):
        echo(pacs.destination(tls=ours, tls_name="archive.example"), "CXRNODE")


def test_a_peer_of_another_authority_is_not_spoken_to(pacs: FakePacs, ours: Certificates, tmp_path: Path) -> None:
    other = Authority(tmp_path / "elsewhere", "Other CA")

    with pytest.raises(PeerUnavailable, match="certificate is not trusted: "):
        echo(pacs.destination(tls=ours.model_copy(update={"ca_file": str(other.file)})), "CXRNODE")


def test_a_peer_that_does_not_trust_us_is_told_of(pacs: FakePacs, ours: Certificates, tmp_path: Path) -> None:
    theirs = Authority(tmp_path / "elsewhere", "Other CA").certificates("node.example")

    with pytest.raises(PeerUnavailable, match="it does not trust this node's certificate"):
        echo(pacs.destination(tls=theirs.model_copy(update={"ca_file": ours.ca_file})), "CXRNODE")


def test_a_peer_without_tls_is_told_of(ours: Certificates) -> None:
    with FakePacs().listening() as plain, pytest.raises(PeerUnavailable, match="makes no TLS connection"):
        echo(plain.destination(tls=ours), "CXRNODE")


def test_a_peer_that_says_nothing_is_waited_for_in_its_time(ours: Certificates) -> None:
    with Mute().listening() as mute, pytest.raises(PeerUnavailable, match="the handshake was not whole in its time"):
        echo(FakePacs(port=mute.port).destination(tls=ours, timeout_s=1), "CXRNODE")


def test_certificates_that_are_gone_are_a_reason_to_try_again(pacs: FakePacs, ours: Certificates) -> None:
    Path(ours.key_file).unlink()

    with pytest.raises(PeerUnavailable, match=r"cannot be called over TLS.*node\.example\.key.*No such file"):
        echo(pacs.destination(tls=ours), "CXRNODE")
