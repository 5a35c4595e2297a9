"""DICOM over TLS coming in: only between certificates that are trusted, and a stalled handshake keeps nobody out.

Seen red: the handshake in the accepting thread, the fifty; without `Porch.close` the receiver's end; without the time
in `Connection.recv_into` and `wait_at_most` who stops or drips; without `Sender.is_named`, CRL and ciphers theirs.
"""

import io
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cxrnode import log, tls
from cxrnode.commands.samples import free_ports
from cxrnode.deliver import echo, send
from cxrnode.errors import PeerUnavailable
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver
from cxrnode.receiving.doorway import Doorway
from cxrnode.receiving.porch import MOST_HANDSHAKES
from cxrnode.settings import Receiving
from cxrnode.settings.certificates import Certificates
from cxrnode.settings.destination import Destination
from cxrnode.settings.sender import Sender
from cxrnode.spool import Spool
from tests.authority import Authority, Shown
from tests.builders import make_cxr
from tests.fuzz import pdus
from tests.fuzz.campaign import settled
from tests.nodes import saved

PATIENCE_S = 1.5
FILM = make_cxr()


class Bench:
    """A receiver that speaks TLS alone, and a hospital's authority."""

    def __init__(
        self,
        root: Path,
        *senders: Sender,
        handshake_timeout_s: float = 600,
        crl_file: str = "",
        authority: Authority | None = None,
    ) -> None:
        self.authority = authority or Authority(root / "ca")
        ours = self.authority.certificates("node.example", handshake_timeout_s=handshake_timeout_s)
        self.ours = ours.model_copy(update={"crl_file": crl_file})
        self.modality = self.authority.certificates("dxroom1.example")
        self.settings = Receiving(
            port=free_ports(1)[0], reserve_gb=0, tls=self.ours, senders=senders, network_timeout_s=PATIENCE_S
        )
        self.receipts: list[Receipt] = []
        self.lines = io.StringIO()
        log.start("info", self.lines)
        self.receiver = Receiver("CXRNODE", self.settings, Spool(root / "spool", 0), self.receipts.append)

    def destination(self, by: Certificates | None = None, name: str = "node.example") -> Destination:
        """It as a sender with these certificates knows it."""
        where = {"ae_title": "CXRNODE", "host": "127.0.0.1", "port": self.settings.port, "timeout_s": 5}
        over = {"tls": self.modality if by is None else by, "tls_name": name}
        return Destination.model_validate({"name": "node"} | where | over)

    def connected(self) -> socket.socket:
        """A connection to it, before anything is said."""
        return socket.create_connection(("127.0.0.1", self.settings.port), 10)

    def over_tls(self) -> ssl.SSLSocket:
        """The same once both have shown their certificates."""
        rules, name = tls.calling(self.modality, "127.0.0.1", "node.example")
        return rules.wrap_socket(self.connected(), server_hostname=name)

    def serves(self, by: Certificates | None = None) -> bool:
        """Whether a sender of these certificates is answered."""
        try:
            echo(self.destination(by), "DXROOM1")
        except PeerUnavailable:
            return False
        return True

    def refuses(self, by: Certificates) -> str:
        """Why a sender of these certificates is turned away, as the receiver logs it."""
        assert not self.serves(by)
        assert settled(lambda: "handshake refused" in self.lines.getvalue(), 10)
        return self.lines.getvalue()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.receiver.start()
    yield made
    made.receiver.stop()
    log.start("error")


def test_a_film_goes_in_over_tls_byte_for_byte(bench: Bench, tmp_path: Path) -> None:
    big = make_cxr(rows_of(1600))
    files = [saved(FILM, tmp_path / "small.dcm"), saved(big, tmp_path / "big.dcm"), saved(FILM, tmp_path / "again.dcm")]
    answers: list[int | None] = []

    send(files, bench.destination(), "DXROOM1", lambda _index, sent: answers.append(sent.status))

    assert answers == [0, 0, 0]
    assert [receipt.sop_instance_uid for receipt in bench.receipts] == [one.SOPInstanceUID for one in (FILM, big, FILM)]


def test_a_certificate_of_another_authority_is_turned_away(bench: Bench, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "elsewhere", "Other CA").certificates("dxroom1.example")
    trusting = stranger.model_copy(update={"ca_file": bench.ours.ca_file})

    assert "its certificate is not trusted: unable to get local issuer certificate" in bench.refuses(trusting)
    assert bench.serves()


def test_an_expired_certificate_is_turned_away(bench: Bench) -> None:
    assert "its certificate is not trusted: certificate has expired" in bench.refuses(
        bench.authority.certificates("old.example", days=-1)
    )


def test_who_shows_no_certificate_is_turned_away(bench: Bench) -> None:
    rules = ssl.create_default_context(cafile=bench.ours.ca_file)
    with bench.connected() as plain, rules.wrap_socket(plain, server_hostname="node.example") as over:
        assert turned_away(over)

    assert settled(lambda: "it shows no certificate" in bench.lines.getvalue(), 10)


def hung_up(over: ssl.SSLSocket, byte: int) -> bool:
    """Send one byte, and wait a quarter of the receiver's patience for the end of the connection."""
    try:
        over.send(bytes([byte]))
        return over.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def turned_away(over: ssl.SSLSocket) -> bool:
    """Whether the connection ends without a word."""
    try:
        return over.recv(1) == b""
    except OSError:
        return True


def test_tls_1_1_is_turned_away(bench: Bench) -> None:
    rules = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    rules.load_cert_chain(bench.modality.certificate_file, bench.modality.key_file)
    rules.load_verify_locations(bench.ours.ca_file)
    rules.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        rules.minimum_version, rules.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with bench.connected() as plain, pytest.raises(OSError, match=r"(?i)protocol"):
        rules.wrap_socket(plain, server_hostname="node.example")

    assert settled(lambda: "it has no TLS 1.2 or later" in bench.lines.getvalue(), 10)


@pytest.mark.parametrize("cipher", ["AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_of_tls_1_2_no_other_cipher_suite_is_taken_than_those_that_are_recommended(bench: Bench, cipher: str) -> None:
    rules = tls.context(bench.modality, ssl.PROTOCOL_TLS_CLIENT)
    rules.maximum_version = ssl.TLSVersion.TLSv1_2
    rules.set_ciphers(cipher)
    with bench.connected() as plain, pytest.raises(ssl.SSLError):
        rules.wrap_socket(plain, server_hostname="node.example")

    assert settled(lambda: "it has no cipher suite in common" in bench.lines.getvalue(), 10)


def test_who_speaks_plainly_is_turned_away(bench: Bench) -> None:
    plain = bench.destination().model_copy(update={"tls": False})

    with pytest.raises(PeerUnavailable):
        echo(plain, "DXROOM1")

    assert settled(lambda: "what came is no TLS" in bench.lines.getvalue(), 10)
    assert bench.receiver.porch is not None
    assert bench.receiver.porch.refused == {"what came is no TLS": 1}


def test_who_only_looks_whether_somebody_listens_is_nobody_refused(bench: Bench) -> None:
    threads = threading.active_count()
    for _ in range(3):
        bench.connected().close()

    assert bench.serves()
    assert settled(lambda: threading.active_count() <= threads, 10)
    assert bench.receiver.porch is not None
    assert not bench.receiver.porch.refused
    assert "refused" not in bench.lines.getvalue()


def test_fifty_stalled_handshakes_keep_no_good_sender_out(bench: Bench) -> None:
    with ExitStack() as held:
        for number in range(50):
            stalled = held.enter_context(bench.connected())
            if number % 2:
                stalled.send(b"\x16\x03\x01\x02\x00\x01")  # a ClientHello that stops within

        assert bench.serves()


def test_of_too_many_handshakes_one_that_began_early_is_cut(bench: Bench) -> None:
    with ExitStack() as held:
        waiting = [held.enter_context(bench.connected()) for _ in range(MOST_HANDSHAKES + 1)]

        assert len(select.select(waiting, [], [], 30)[0]) == 1
        assert bench.serves()


def test_the_processes_that_take_associations_share_the_handshakes(tmp_path: Path) -> None:
    """Red when each process has as many as all are to have."""
    bench = Bench(tmp_path)
    doorway = Doorway(bench.settings, processes=MOST_HANDSHAKES // 2)
    receiver = Receiver("CXRNODE", bench.settings, Spool(tmp_path / "spool", 0), lambda _: None, doorway=doorway)
    receiver.start()
    try:
        with ExitStack() as held:
            waiting = [held.enter_context(bench.connected()) for _ in range(3)]
            assert len(select.select(waiting, [], [], 30)[0]) == 1
    finally:
        receiver.stop()


def test_a_stalled_handshake_ends_in_its_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, handshake_timeout_s=PATIENCE_S)
    bench.receiver.start()
    before = threading.active_count()
    try:
        with bench.connected() as stalled:
            stalled.send(b"\x16\x03\x01\x02\x00\x01")
            assert stalled.recv(1) == b""
        assert settled(lambda: threading.active_count() <= before, 10)
    finally:
        bench.receiver.stop()
    assert "the handshake was not whole in its time" in bench.lines.getvalue()


def test_a_stalled_handshake_does_not_keep_the_receiver_from_its_end(bench: Bench) -> None:
    with bench.connected() as stalled:
        stalled.send(b"\x16\x03\x01\x02\x00\x01")
        assert bench.receiver.porch is not None
        entering = bench.receiver.porch._entering
        assert settled(lambda: len(entering) == 1, 10)
        bench.receiver.stop()
        assert stalled.recv(1) == b""


@pytest.mark.parametrize(
    "said", [b"", pdus.associate()[:40], b"\1\0\0"], ids=["nothing", "half a request", "half a length"]
)
def test_who_stops_after_the_handshake_is_let_go(bench: Bench, said: bytes) -> None:
    with bench.over_tls() as stopped:
        stopped.sendall(said)
        assert stopped.recv(1) == b""
    assert bench.serves()


def test_a_pdu_that_drips_is_whole_in_time_or_ends(bench: Bench) -> None:
    with bench.over_tls() as dripping:
        dripping.settimeout(PATIENCE_S / 4)
        assert any(hung_up(dripping, byte) for byte in pdus.associate()[:40])
    assert bench.serves()


def test_a_sender_with_a_name_must_show_a_certificate_of_that_name(tmp_path: Path) -> None:
    sender = Sender(ae_title="DXROOM1", addresses=("127.0.0.1",), tls_name="DXroom1.example")
    bench = Bench(tmp_path, sender)
    bench.receiver.start()
    try:
        assert bench.serves()
        assert not bench.serves(bench.authority.certificates("dxroom2.example"))
    finally:
        bench.receiver.stop()
    assert "no entry of receiving.senders admits this AE title, address and certificate" in bench.lines.getvalue()


def test_a_certificate_that_was_revoked_is_turned_away_once_it_stands_in_the_list(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    crl = authority.revoke()
    bench = Bench(tmp_path, crl_file=str(crl), authority=authority)
    bench.receiver.start()
    try:
        assert bench.serves()
        authority.revoke(Shown(Path(bench.modality.certificate_file), Path(bench.modality.key_file)))
        assert "its certificate is not trusted: certificate revoked" in bench.refuses(bench.modality)
    finally:
        bench.receiver.stop()


def test_a_new_certificate_needs_no_new_start(bench: Bench, tmp_path: Path) -> None:
    elsewhere = Authority(tmp_path / "new", "New CA")
    trusting = bench.modality.model_copy(update={"ca_file": str(elsewhere.file)})
    assert not bench.serves(trusting)

    Path(bench.ours.key_file).write_bytes(b"half of a key")
    assert bench.serves(bench.modality), "the old one holds while the new one cannot be read"
    shown = elsewhere.signed("node.example")
    Path(bench.ours.certificate_file).write_bytes(shown.certificate.read_bytes())
    Path(bench.ours.key_file).write_bytes(shown.key.read_bytes())

    assert bench.serves(trusting)
    assert not bench.serves(bench.modality)
    assert "certificates not read again" in bench.lines.getvalue()


def rows_of(rows: int) -> object:
    import numpy as np

    return np.random.default_rng(1).integers(0, 4095, (rows, 1200), dtype=np.uint16)
