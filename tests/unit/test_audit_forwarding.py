"""What the collector did not take stays in the trail and goes later, once, in order; nothing is lost on the way."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from cxrnode.audit.events import About, Here, accessed
from cxrnode.audit.forward import BATCH, Forwarder, standing
from cxrnode.audit.syslog import BOM, framed
from cxrnode.audit.trail import Trail
from cxrnode.audit.who import person, process
from cxrnode.commands.samples import free_ports
from cxrnode.errors import SettingsError
from cxrnode.settings.collector import Audit
from tests.audits import PATIENT, checked
from tests.authority import Authority
from tests.collectors import Collector, datagrams

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
UDP = Audit(syslog="udp", host="127.0.0.1", port=514)
HERE = Here("node-1", process("receiver", "CXRNODE"))
HEADER = rb"<85>1 2026-03-01T12:00:00\.000Z \S+ cxrnode \d+ DICOM\+RFC3881 - "


class Mailbox:
    """Takes messages, or is away."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.away = False

    def send(self, lines: Sequence[bytes], _audit: Audit, _host: str) -> None:
        if self.away:
            raise ConnectionRefusedError(111, "Connection refused")
        self.taken += lines

    @property
    def patients(self) -> list[str]:
        return [checked(line).subject(PATIENT) for line in self.taken]


def write(trail: Trail, *patients: str, at: datetime = NOW) -> None:
    """A message about each patient."""
    trail.write([accessed(HERE, at, person(), About("1.2.3", one, "Zz^A")) for one in patients], at)


def test_each_message_goes_once_and_in_order(tmp_path: Path) -> None:
    """Red when `_taken` notes nothing."""
    trail, box = Trail(tmp_path), Mailbox()
    for _ in range(2):
        forwarder = Forwarder(trail, UDP, box.send)  # as after a restart
        write(trail, *(f"{len(box.taken)}-{number}" for number in range(3)))
        forwarder.turn(NOW)
        forwarder.turn(NOW)

    assert box.patients == ["0-0", "0-1", "0-2", "3-0", "3-1", "3-2"]


def test_more_than_a_connection_carries_goes_all_the_same(tmp_path: Path) -> None:
    trail, box = Trail(tmp_path), Mailbox()
    write(trail, *map(str, range(2 * BATCH + 1)))

    assert Forwarder(trail, UDP, box.send).turn(NOW) == 2 * BATCH + 1
    assert box.patients == [str(number) for number in range(2 * BATCH + 1)]


def test_while_the_collector_is_away_messages_wait_and_status_says_so(tmp_path: Path) -> None:
    """Red when `turn` goes on after a failure, or tries before retry_s is over."""
    trail, box = Trail(tmp_path), Mailbox()
    box.away = True
    forwarder = Forwarder(trail, UDP, box.send)
    write(trail, "a")
    forwarder.turn(NOW)
    write(trail, "b", at=NOW + timedelta(hours=13))
    later = NOW + timedelta(hours=13)
    forwarder.turn(later)

    assert box.taken == []
    told = standing(trail, later)
    assert (told.waiting, told.away_since, told.reason) == (2, NOW.isoformat(), "Connection refused")
    box.away = False
    assert forwarder.turn(later + timedelta(seconds=UDP.retry_s / 2)) == 0
    assert forwarder.turn(later + timedelta(seconds=UDP.retry_s)) == 2
    assert box.patients == ["a", "b"]
    told = standing(trail, later)
    assert (told.waiting, told.away_since, told.reason) == (0, "", "")


def test_a_collector_that_is_new_gets_this_day_and_what_comes(tmp_path: Path) -> None:
    trail, box = Trail(tmp_path), Mailbox()
    write(trail, "long ago", at=NOW - timedelta(days=40))
    write(trail, "yesterday", at=NOW - timedelta(days=1))
    write(trail, "today")

    Forwarder(trail, UDP, box.send).turn(NOW)
    write(trail, "tomorrow", at=NOW + timedelta(days=1))
    Forwarder(trail, UDP, box.send).turn(NOW + timedelta(days=1))

    assert box.patients == ["today", "tomorrow"]


def test_a_line_that_is_being_written_waits_until_it_is_whole(tmp_path: Path) -> None:
    trail, box = Trail(tmp_path), Mailbox()
    write(trail, "a", "b")
    (file,) = trail.files()
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    forwarder = Forwarder(trail, UDP, box.send)

    forwarder.turn(NOW)
    assert box.patients == ["a"]
    file.write_bytes(whole)
    forwarder.turn(NOW)
    assert box.patients == ["a", "b"]


def test_what_a_power_cut_left_torn_is_not_sent(tmp_path: Path) -> None:
    trail, box = Trail(tmp_path), Mailbox()
    write(trail, "a")
    (file,) = trail.files()
    file.write_bytes(file.read_bytes() + b"<AuditMessage><Event")
    write(trail, "b")

    Forwarder(trail, UDP, box.send).turn(NOW)
    assert box.patients == ["a", "b"]


def test_two_processes_do_not_both_send(tmp_path: Path) -> None:
    """Red without the lock."""
    trail, box = Trail(tmp_path), Mailbox()
    write(trail, "a")
    other = Forwarder(trail, UDP, box.send)

    def meanwhile(lines: Sequence[bytes], audit: Audit, host: str) -> None:
        assert other.turn(NOW) == 0
        box.send(lines, audit, host)

    Forwarder(trail, UDP, meanwhile).turn(NOW)
    assert box.patients == ["a"]


def test_a_note_that_was_spoilt_sends_this_day_again_and_nothing_is_lost(tmp_path: Path) -> None:
    trail, box = Trail(tmp_path), Mailbox()
    write(trail, "a")
    Forwarder(trail, UDP, box.send).turn(NOW)
    (tmp_path / "forwarded.json").write_text("{")
    write(trail, "b")

    Forwarder(trail, UDP, box.send).turn(NOW)

    assert box.patients == ["a", "a", "b"]


def test_what_cannot_be_noted_is_not_sent_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when only the file knows: on a full disk the collector got the same messages each second, for hours."""

    def full(_path: Path) -> None:
        raise SettingsError("no room")

    trail, box = Trail(tmp_path), Mailbox()
    forwarder = Forwarder(trail, UDP, box.send)
    monkeypatch.setattr("cxrnode.audit.forward.written_whole", full)
    write(trail, "a")
    forwarder.turn(NOW)
    forwarder.turn(NOW)
    write(trail, "b")
    forwarder.turn(NOW)
    assert box.patients == ["a", "b"]

    monkeypatch.undo()
    write(trail, "c")
    forwarder.turn(NOW)
    Forwarder(trail, UDP, box.send).turn(NOW)
    assert box.patients == ["a", "b", "c"]


def test_nobody_else_reads_what_was_noted(tmp_path: Path) -> None:
    trail, box = Trail(tmp_path / "audit"), Mailbox()
    write(trail, "a")
    Forwarder(trail, UDP, box.send).turn(NOW)

    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in (tmp_path / "audit").iterdir()}
    assert modes == dict.fromkeys(["2026-03-01.xml", "forwarded.json", "forwarding.lock"], "0o600")
    assert "Zz" not in (tmp_path / "audit" / "forwarded.json").read_text()


def test_a_datagram_is_syslog_with_the_message_as_it_stands_in_the_file(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    write(trail, "Ä")
    with datagrams() as taking:
        audit = Audit(syslog="udp", host="127.0.0.1", port=taking.getsockname()[1])
        assert Forwarder(trail, audit).turn(NOW) == 1
        came = taking.recv(65536)

    match = re.match(HEADER, came)
    assert match is not None, came
    rest = came[match.end() :]
    assert rest.startswith(BOM)
    assert rest[len(BOM) :] == trail.files()[0].read_bytes().strip()
    assert checked(rest[len(BOM) :]).subject(PATIENT) == "Ä"


def test_nobody_listens_for_datagrams_and_that_is_noticed(tmp_path: Path) -> None:
    """Red when the socket is not asked after the last one."""
    trail = Trail(tmp_path)
    write(trail, "a")
    (port,) = free_ports(1)

    assert Forwarder(trail, Audit(syslog="udp", host="127.0.0.1", port=port)).turn(NOW) == 0
    assert standing(trail, NOW).waiting == 1


def test_a_frame_over_tls_says_its_length_and_both_sides_show_who_they_are(tmp_path: Path) -> None:
    trail = Trail(tmp_path / "audit")
    hospital = Authority(tmp_path / "ca")
    ours = hospital.signed("node")
    write(trail, "a", "Ä")
    with Collector(hospital.signed("localhost"), clients=hospital) as collector:
        tls = {"ca_file": hospital.file, "certificate_file": ours.certificate, "key_file": ours.key}
        audit = Audit(syslog="tls", host="localhost", port=collector.port, **tls)
        assert Forwarder(trail, audit).turn(NOW) == 2

    assert [checked(one.partition(BOM)[2]).subject(PATIENT) for one in collector.taken] == ["a", "Ä"]
    assert all(re.match(HEADER, one) for one in collector.taken)
    assert collector.versions <= {"TLSv1.2", "TLSv1.3"}


def test_a_collector_that_hangs_up_without_a_farewell_has_read_all(tmp_path: Path) -> None:
    trail, hospital = Trail(tmp_path / "audit"), Authority(tmp_path / "ca")
    write(trail, "a")
    with Collector(hospital.signed("localhost")) as collector:
        collector.rude = True
        audit = Audit(syslog="tls", host="localhost", port=collector.port, ca_file=hospital.file)
        assert Forwarder(trail, audit).turn(NOW) == 1
    assert len(collector.taken) == 1


@pytest.mark.parametrize(
    "fault",
    ["resets unread", "ends its side first", "wants a certificate", "is not to be trusted", "has another name"],
)
def test_what_a_collector_has_not_taken_over_tls_is_sent_later(tmp_path: Path, fault: str) -> None:
    """Red without `unwrap` (it resets unread), or the wait before (it ends its side first: that is no answer to us).

    And when the context checks no certificate or name.
    """
    trail = Trail(tmp_path / "audit")
    hospital, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger", "Somebody")
    shown = hospital.signed("elsewhere" if fault == "has another name" else "localhost")
    write(trail, "a")
    with Collector(shown, clients=hospital if fault == "wants a certificate" else None) as collector:
        collector.deaf = fault == "resets unread"
        collector.curt = fault == "ends its side first"
        trusted = stranger if fault == "is not to be trusted" else hospital
        audit = Audit(syslog="tls", host="localhost", port=collector.port, ca_file=trusted.file)
        assert Forwarder(trail, audit).turn(NOW) == 0

    assert collector.taken == []
    assert standing(trail, NOW).waiting == 1
    assert json.loads((tmp_path / "audit" / "forwarded.json").read_text())["reason"]


def test_a_host_name_that_is_no_word_breaks_no_header() -> None:
    line = framed(b"<AuditMessage/>", "the host\n<1>")

    assert line.startswith(b"<85>1 - thehost<1> cxrnode - DICOM+RFC3881 - ")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"syslog": "tls"}, "wanted the host of the collector"),
        ({"host": "logs"}, "wanted no host"),
        ({"syslog": "udp", "host": "logs", "ca_file": "ca.pem"}, "of no use"),
        ({"syslog": "tls", "host": "logs", "key_file": "k.pem"}, "key_file without certificate_file"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(table: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Audit.model_validate(table)


def test_the_forwarder_ends_when_it_is_told_to(tmp_path: Path) -> None:
    forwarder = Forwarder(Trail(tmp_path), UDP, Mailbox().send)
    forwarder.stop()
    run: Callable[[], None] = forwarder.run
    run()
