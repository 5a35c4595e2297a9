"""A connection over TLS is used as a plain one: what has come is known, flags mean what they mean, nothing waits on."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrnode import tls
from cxrnode.errors import SettingsError
from cxrnode.settings.certificates import Certificates
from cxrnode.tls import Connection, has_come
from tests.authority import Authority

Pair = tuple[Connection, Connection]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two ends of a connection, the caller's and the receiver's."""
    authority = Authority(tmp_path)
    rules = tls.context(authority.certificates("node.example"), ssl.PROTOCOL_TLS_SERVER)
    calling, name = tls.calling(authority.certificates("modality.example"), "node.example", "")
    near, far = socket.socketpair()
    called: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: called.append(rules.wrap_socket(far, server_side=True)))
    thread.start()
    ours = calling.wrap_socket(near, server_hostname=name)
    thread.join()
    (theirs,) = called
    assert isinstance(ours, Connection)
    assert isinstance(theirs, Connection)
    with ours, theirs:
        yield ours, theirs


def test_both_have_the_newest_tls_and_know_each_other_by_name(pair: Pair) -> None:
    assert {one.version() for one in pair} == {"TLSv1.3"}
    assert [tls.names_of(one) for one in pair] == [{"node.example", "127.0.0.1"}, {"modality.example", "127.0.0.1"}]


def test_what_was_deciphered_and_not_taken_has_come(pair: Pair) -> None:
    caller, receiver = pair
    caller.sendall(bytes(range(100)))
    assert receiver.recv(10, socket.MSG_WAITALL) == bytes(range(10))

    assert has_come(receiver)(0), "the socket itself has nothing more"
    assert receiver.recv(90, socket.MSG_WAITALL) == bytes(range(10, 100))
    assert not has_come(receiver)(0)


def test_half_a_record_is_nothing_that_has_come(pair: Pair) -> None:
    caller, receiver = pair
    receiver.settimeout(5)
    taken = socket.fromfd(receiver.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)
    caller.sendall(b"0123456789")
    record = taken.recv(4096)
    sink = socket.fromfd(caller.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)
    with taken, sink:
        sink.sendall(record[:9])
        assert not has_come(receiver)(0)
        with pytest.raises(BlockingIOError):
            receiver.recv(10, socket.MSG_DONTWAIT)
        sink.sendall(record[9:])
        assert has_come(receiver)(0)
        assert receiver.recv(10, socket.MSG_DONTWAIT) == b"0123456789"


def test_the_end_has_come_too(pair: Pair) -> None:
    caller, receiver = pair
    caller.cut()

    assert has_come(receiver)(1000)
    assert receiver.recv(1) == b""


def test_what_is_answered_after_the_last_question_is_enciphered_too(pair: Pair) -> None:
    caller, receiver = pair
    receiver.shutdown(socket.SHUT_RD)
    receiver.sendall(b"answer")

    assert caller.recv(6, socket.MSG_WAITALL) == b"answer"


def test_who_reads_says_goodbye(pair: Pair) -> None:
    caller, receiver = pair
    caller.suppress_ragged_eofs = False
    caller.sendall(b"x")
    receiver.recv(1)
    receiver.shutdown(socket.SHUT_RDWR)

    assert caller.recv(1) == b"", "an end without goodbye would raise SSLEOFError"


def test_all_is_waited_for_across_records_and_then_the_patience_is_as_it_was(pair: Pair) -> None:
    caller, receiver = pair
    receiver.settimeout(30)
    content = bytes(range(256)) * 400
    sending = threading.Thread(
        target=lambda: [caller.sendall(content[at : at + 10_000]) for at in range(0, 102_400, 10_000)]
    )
    sending.start()

    assert receiver.recv(len(content), socket.MSG_WAITALL) == content
    sending.join()
    assert receiver.gettimeout() == 30


def test_what_does_not_come_whole_is_given_up_after_the_patience(pair: Pair) -> None:
    caller, receiver = pair
    receiver.settimeout(0.2)
    caller.sendall(b"half")

    with pytest.raises(TimeoutError):
        receiver.recv(8, socket.MSG_WAITALL)


def test_a_key_with_a_password_is_read_with_it_and_asks_nobody_for_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown = authority.signed("node.example", password=b"open sesame")
    files = {"certificate_file": str(shown.certificate), "key_file": str(shown.key), "ca_file": str(authority.file)}
    (tmp_path / "password").write_text("open sesame\n")

    tls.context(Certificates(**files, key_password_file=str(tmp_path / "password")), ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(SettingsError, match=r"node\.example\.key.*wanted a certificate and its own key"):
        tls.context(Certificates(**files), ssl.PROTOCOL_TLS_SERVER)
