"""PostgreSQL crashes and comes back in the middle of a day: nothing is refused, everything is finished."""

from collections.abc import Callable
from pathlib import Path

from pydicom.uid import generate_uid

from tests import postgres
from tests.builders import make_cxr
from tests.databases import POSTGRESQL, ledger_url
from tests.fakes import FakePacs
from tests.invariants import unkept
from tests.nodes import running_node, saved


def test_a_server_that_crashes_in_mid_day_refuses_no_image_and_every_study_is_finished(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Red when `_away` lets a DBAPIError through: the receiver ends, and refuses what comes meanwhile."""
    record_property("matrix", ("everything", "PostgreSQL crashes and is started again", "I1, I2, I3"))
    url = ledger_url(tmp_path / "state", POSTGRESQL)
    lease = {"time_limit_s": 14, "lease_s": 15}
    films = [saved(make_cxr(StudyInstanceUID=generate_uid()), tmp_path / f"{number}.dcm") for number in range(4)]
    with (
        FakePacs().listening() as pacs,
        running_node(tmp_path, pacs.destination(), ledger={"url": url}, queue=lease) as node,
    ):
        node.push(films[0])
        node.wait_until_finished(1)
        node.push(films[1])
        postgres.server().stop()
        try:
            node.push(films[2])
            node.wait_until_logged("ledger away")
        finally:
            postgres.server().start()
        node.push(films[3])
        status = node.wait_until_finished(4)

    assert unkept(node.settings, films) == []
    assert len({uid for uid, _ in pacs.attempts}) == len(pacs.attempts) == len(pacs.stored) == 4 * 2
    assert status["received"] == 4
    assert [line["deliveries"] for line in status["rounds"]] == [{"fake": "2 accepted"}] * 4
    assert '"ended"' not in node.log.read_text(), "no process had to be started again"
