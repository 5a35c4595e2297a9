"""Storage commitment on real associations: delivered means committed, where the archive offers it."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from pydicom.uid import generate_uid
from pynetdicom import AE

from cxrnode.commands.samples import free_ports
from cxrnode.commitment import NO_ARCHIVE, NO_SUCH_ACTION, PUSH_MODEL, PUSH_MODEL_INSTANCE, Report, Reports, Request
from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import commitments, work
from cxrnode.ledger.account import account
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.ledger.states import Work
from cxrnode.receive import Receiver
from cxrnode.settings import Receiving
from cxrnode.settings.destination import Destination
from tests.archives import NO_SUCH_OBJECT, Archive
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive
from tests.fakes import FakePacs
from tests.orthanc import running_orthanc
from workers import commitment
from workers.commitment import commit_leased
from workers.delivery import deliver_leased
from workers.desk import Desk

NOW = datetime.now(UTC) + timedelta(days=1)
HOUR = timedelta(hours=1)
PATIENCE_S = 20.0
"""for a report that does come; it is waited for no longer than that takes"""
DX, VERIFICATION = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.1.1"


@dataclass
class Node:
    """A desk with one study that was read, and a receiver beside it."""

    desk: Desk
    port: int

    def turn(self, now: datetime = NOW) -> None:
        """Everything that is due, until nothing is."""
        while due := work.due(self.desk.ledger, now, {}):
            for task in due:
                for held in work.lease(self.desk.ledger, task.task_key, now, 600):
                    if task.work is Work.COMMIT:
                        commit_leased(self.desk, held, now)
                    else:
                        deliver_leased(self.desk, held)

    @property
    def line(self) -> RoundLine:
        (only,) = round_lines(self.desk.ledger)
        return only

    @property
    def place(self) -> str:
        told = account(self.desk.ledger, self.desk.spool)
        assert told.balanced
        (only,) = told.lines
        return only.place


@contextmanager
def node_for(
    folder: Path, pacs: FakePacs, receiving: dict[str, object] | None = None, **destination: object
) -> Iterator[Node]:
    """A node whose one destination is this PACS."""
    (port,) = free_ports(1)
    if isinstance(pacs, Archive) and pacs.node_port:
        pacs.node_port = port
    stay_s = 0.05 if isinstance(pacs, Archive) and pacs.never else PATIENCE_S
    with (
        patch.object(commitment, "STAY_S", stay_s),
        node_at(folder, pacs.destination(**destination), {"port": port} | (receiving or {})) as node,
    ):
        yield node


@contextmanager
def node_at(folder: Path, destination: Destination, receiving: dict[str, object]) -> Iterator[Node]:
    """A node with these settings."""
    desk = open_desk(folder, [destination])
    receive(desk, make_cxr())
    read_all(desk)
    settings = Receiving.model_validate({"reserve_gb": 0} | receiving)
    keep = Reports(
        desk.settings.destinations,
        settings.senders,
        lambda report, names: commitments.record(desk.ledger, report, names, NOW),
    )
    receiver = Receiver("CXRNODE", settings, desk.spool, lambda _receipt: None, keep)
    receiver.start()
    try:
        yield Node(desk, settings.port)
    finally:
        receiver.stop()
        desk.ledger.close()


@pytest.mark.parametrize(("node_port", "says_its_role"), [(1, True), (1, False), (0, True)])
def test_what_the_archive_commits_itself_to_is_committed(
    tmp_path: Path, node_port: int, *, says_its_role: bool
) -> None:
    """On a new association, with and without role selection, and on the one that asked."""
    archive = Archive(node_port=node_port, says_its_role=says_its_role)
    with archive.listening(), node_for(tmp_path, archive) as node:
        node.turn()

        assert node.line.deliveries == {"fake": "2 committed"}
        assert (node.line.state, node.line.commitment) == ("finished", {})
        assert node.place == "finished, delivered"
    (request,) = archive.requests
    stored = {(one.SOPClassUID, one.SOPInstanceUID) for one in archive.stored}
    items = request.ReferencedSOPSequence
    assert {(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID) for one in items} == stored
    assert archive.answers == [0x0000]


def test_only_what_failed_is_sent_again_with_the_very_bytes(tmp_path: Path) -> None:
    with Archive(failing=[[1]], node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        node.turn()

        assert node.line.deliveries == {"fake": "2 committed"}
    failed = archive.requests[0].ReferencedSOPSequence[1].ReferencedSOPInstanceUID
    first, again = (content for uid, content in archive.attempts if uid == failed)
    assert (len(archive.attempts), first) == (3, again)
    assert [len(one.ReferencedSOPSequence) for one in archive.requests] == [2, 1]


def test_what_fails_each_time_is_given_up_with_the_reason(tmp_path: Path) -> None:
    """Red without the bound in `commitments._fail`: the object is sent for ever."""
    with Archive(failing=[[0], [0], [0], [0]], node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        node.turn()

        assert node.line.deliveries == {"fake": "1 committed, 1 given up"}
        assert node.line.commitment == {
            "fake": f"fake failed to commit itself: 0x{NO_SUCH_OBJECT:04X}, no such object instance"
        }
        assert (node.line.state, node.place) == ("finished", "finished, not all delivered")
    assert len(archive.attempts) == 1 + commitments.MOST_FAILURES


@pytest.mark.parametrize("how", ["no context", "no such action"])
def test_where_it_is_not_offered_accepted_is_the_last_word_and_said_as_such(tmp_path: Path, how: str) -> None:
    pacs = FakePacs() if how == "no context" else Archive(action_statuses=[NO_SUCH_ACTION])
    with pacs.listening(), node_for(tmp_path, pacs) as node:
        node.turn()

        assert node.line.deliveries == {"fake": "2 accepted"}
        assert node.line.commitment == {"fake": "fake offers no storage commitment: accepted is the last word"}
        assert (node.line.state, node.place) == ("finished", "finished, delivered")


def test_what_orthanc_lost_is_sent_again_and_committed(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with (
        running_orthanc(tmp_path, port) as orthanc,
        node_at(tmp_path / "node", orthanc.destination, {"port": port}) as node,
    ):
        (task,) = work.due(node.desk.ledger, NOW, {})
        deliver_leased(node.desk, *work.lease(node.desk.ledger, task.task_key, NOW, 600))
        lost, *kept = orthanc.get("/instances")
        orthanc.lose(lost)
        with patch.object(commitment, "STAY_S", PATIENCE_S):
            node.turn()

        assert (len(kept), len(orthanc.get("/instances"))) == (1, 2)
        assert (node.line.deliveries, node.line.commitment) == ({"orthanc": "2 committed"}, {})


def test_where_it_is_required_and_not_offered_nothing_counts_as_delivered(tmp_path: Path) -> None:
    with FakePacs().listening() as pacs, node_for(tmp_path, pacs, commitment="required") as node:
        node.turn()

        assert node.line.deliveries == {"fake": "2 not committed"}
        assert node.line.commitment == {"fake": "fake offers no storage commitment, which is required"}
        assert node.place == "finished, accepted, not all committed"


def test_nobody_is_asked_where_it_is_off(tmp_path: Path) -> None:
    with Archive().listening() as archive, node_for(tmp_path, archive, commitment="off") as node:
        node.turn()

        assert (node.line.deliveries, node.line.state) == ({"fake": "2 accepted"}, "finished")
        assert archive.requests == []
        archive.node_port = node.port
        assert archive.call("FAKEPACS").accepted_contexts == [], "nor is a report taken"


def test_a_round_waits_for_a_late_report(tmp_path: Path) -> None:
    with Archive(never=True, node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        node.turn()
        assert (node.line.state, node.place) == ("analysed", "waiting for commitment")
        node.turn(NOW + HOUR / 2)
        assert len(archive.requests) == 1, "it is not asked again before its time"

        assert archive.report(archive.requests[0]) == 0x0000
        node.turn(NOW + HOUR / 2)

        assert (node.line.deliveries, node.place) == ({"fake": "2 committed"}, "finished, delivered")


def test_an_archive_that_never_reports_is_asked_again_and_not_for_ever(tmp_path: Path) -> None:
    """Red without `stop_asking` in workers/commitment.py: it is asked for ever. A report may still come, and counts."""
    with Archive(never=True, node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        for hours in range(6):
            node.turn(NOW + hours * HOUR)

        assert len(archive.requests) == len({one.TransactionUID for one in archive.requests}) == 3
        assert node.line.deliveries == {"fake": "2 not committed"}
        assert node.line.commitment == {"fake": "fake was asked 3 times in vain: accepted, not committed"}
        assert (node.line.state, node.place) == ("finished", "finished, accepted, not all committed")

        assert archive.report(archive.requests[0]) == 0x0000
        node.turn(NOW + 7 * HOUR)

        assert (node.line.deliveries, node.line.state) == ({"fake": "2 committed"}, "finished")
    assert len(archive.attempts) == 2, "nothing was sent twice"


def test_a_report_of_an_unknown_transaction_or_from_somebody_else_changes_nothing(tmp_path: Path) -> None:
    """Red without `transactions.c.destination.in_(destinations)` in `commitments.record`."""
    with Archive(never=True, node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        node.turn()
        (request,) = archive.requests
        wrong = deepcopy(request)
        wrong.TransactionUID = generate_uid()

        assert archive.report(wrong) == 0x0115
        assert archive.report(request, ae="MODALITY") is None, "no destination: no context"
        report = Report(request.TransactionUID, frozenset(), {})
        assert not commitments.record(node.desk.ledger, report, ["other"], NOW)
        node.turn()

        assert node.place == "waiting for commitment"


def test_a_report_is_asked_for_again_while_the_ledger_is_away(tmp_path: Path) -> None:
    with Archive(never=True, node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        node.turn()
        with patch.object(commitments, "record", side_effect=LedgerUnavailable("away")):
            assert archive.report(archive.requests[0]) == 0x0110

        assert archive.report(archive.requests[0]) == archive.report(archive.requests[0]) == 0x0000
        node.turn()

        assert node.line.deliveries == {"fake": "2 committed"}


def test_a_request_that_the_archive_cannot_take_now_is_made_again(tmp_path: Path) -> None:
    with Archive(action_statuses=[0x0213], node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        node.turn()
        node.turn(NOW + HOUR)

        assert node.line.deliveries == {"fake": "2 committed"}


def test_an_archive_that_is_away_is_asked_later(tmp_path: Path) -> None:
    archive = Archive(node_port=1, port=free_ports(1)[0])
    with node_for(tmp_path, archive) as node:
        with archive.listening(archive.port):
            (task,) = work.due(node.desk.ledger, NOW, {})
            deliver_leased(node.desk, *work.lease(node.desk.ledger, task.task_key, NOW, 600))
        (task,) = work.due(node.desk.ledger, NOW, {})
        commit_leased(node.desk, *work.lease(node.desk.ledger, task.task_key, NOW, 600), NOW)
        assert "cannot be reached" in node.line.commitment["fake"]
        assert node.place == "waiting for commitment"

        with archive.listening(archive.port):
            node.turn(NOW + HOUR)

        assert node.line.deliveries == {"fake": "2 committed"}


@pytest.mark.parametrize("killed", ["before the request", "after the request", "after the report"])
def test_a_worker_that_is_killed_leaves_nothing_undone(tmp_path: Path, killed: str) -> None:
    """The worker dies under its lease; when that has run out another one goes on, and asks no more than it must.

    Red without `latest.asked_at is None` in `commitments.conclude`.
    """

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    place = {
        "before the request": (Request, "as_dataset"),
        "after the request": (commitments, "asked"),
        "after the report": (commitments, "reported"),
    }[killed]
    with Archive(node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        with patch.object(*place, die), pytest.raises(Killed):
            node.turn()
        assert node.line.state == "analysed"
        node.turn(NOW + HOUR)

        assert (node.line.deliveries, node.place) == ({"fake": "2 committed"}, "finished, delivered")
    assert len(archive.requests) <= 2
    assert len(archive.attempts) == 2


def test_requests_to_us_are_declined_with_the_reason(tmp_path: Path) -> None:
    """A sender is not even offered the service; a destination, which has it for its reports, gets a failure.

    Red with `PUSH_MODEL: True` in `Receiver._offer`.
    """
    with Archive(node_port=1).listening() as archive, node_for(tmp_path, archive) as node:
        for calling, offered in (("MODALITY", False), ("FAKEPACS", True)):
            ae = AE(calling)
            ae.requested_contexts = []
            ae.add_requested_context(PUSH_MODEL)
            ae.add_requested_context(VERIFICATION)
            association = ae.associate("127.0.0.1", node.port, ae_title="CXRNODE")
            assert (PUSH_MODEL in {one.abstract_syntax for one in association.accepted_contexts}) is offered
            if offered:
                request = Request(generate_uid(), (("1.2.840.10008.5.1.4.1.1.7", generate_uid()),)).as_dataset()
                answer, _ = association.send_n_action(request, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
                assert (answer.Status, answer.ErrorComment) == (NO_SUCH_ACTION, NO_ARCHIVE)
            association.release()


def test_a_destination_that_is_no_sender_may_report_and_not_store(tmp_path: Path) -> None:
    """Red with `offered.get(one.abstract_syntax, True)` in `Receiver._offer`."""
    senders = {"senders": [{"ae_title": "DXROOM1", "addresses": ["192.0.2.7"]}]}
    with Archive(node_port=1).listening() as archive, node_for(tmp_path, archive, senders) as node:
        node.turn()
        assert node.line.deliveries == {"fake": "2 committed"}

        ae = AE("FAKEPACS")
        ae.add_requested_context(DX)
        ae.add_requested_context(VERIFICATION)
        association = ae.associate("127.0.0.1", node.port, ae_title="CXRNODE")
        assert {one.abstract_syntax for one in association.accepted_contexts} == {VERIFICATION}
        association.release()
