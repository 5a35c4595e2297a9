"""destination: which families it is sent of an image of each outcome, and what a wrong send table is told."""

from pathlib import Path

import pytest

from cxrnode.errors import SettingsError
from cxrnode.family import MADE_OF, Family
from cxrnode.finding import Outcome
from cxrnode.settings import load
from cxrnode.settings.destination import Destination, Send, families_wanted

PLACE = '[[destinations]]\nname = "pacs"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = 104\n'


def destination(**send: list[str]) -> Destination:
    return Destination.model_validate(
        {"name": "pacs", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 104, "send": send}
    )


@pytest.mark.parametrize(
    ("send", "told"),
    [
        ('["analysed"]', r"destinations\.0\.send.*is a list; wanted a table of outcome and families"),
        ('{ positive = ["picture"] }', r"destinations\.0\.send\.positive\.0 = 'picture'"),
        (
            '{ negative = ["segmentation"] }',
            "negative: no segmentation is made .*; wanted some of: report, overlay, map",
        ),
        ('{ refused = ["overlay"] }', "refused: no overlay is made of such an image; wanted some of: report"),
        ('{ not_applicable = ["report"] }', r"destinations\.0\.send\.not_applicable"),
    ],
)
def test_a_send_table_that_cannot_be_kept_is_told_with_what_was_wanted(tmp_path: Path, send: str, told: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(f"{PLACE}send = {send}\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=told):
        load(path)


def test_an_outcome_that_is_left_out_keeps_its_default() -> None:
    assert destination(positive=["report"]).send == Send(positive=(Family.REPORT,))


def test_one_image_that_asks_for_it_is_enough_for_an_object_about_several() -> None:
    send = destination(positive=["report", "keyobjects"], negative=[], refused=[]).send

    assert send.wants(Family.REPORT, [Outcome.NEGATIVE, Outcome.POSITIVE])
    assert not send.wants(Family.REPORT, [Outcome.NEGATIVE, Outcome.REFUSED])
    assert not send.wants(Family.REPORT, [Outcome.NOT_APPLICABLE])
    assert send.families == (Family.REPORT, Family.KEY_OBJECTS)


def test_what_some_destination_wants_is_made_and_a_report_always() -> None:
    wanted = families_wanted([destination(positive=["map"], negative=[], refused=[]), destination(positive=[])])

    assert wanted[Outcome.POSITIVE] == {Family.REPORT, Family.MAP}
    assert wanted[Outcome.FAILED] == {Family.REPORT}
    assert wanted[Outcome.NOT_APPLICABLE] == set()


def test_without_a_destination_all_that_there_is_is_made() -> None:
    assert families_wanted([]) == {outcome: frozenset(families) for outcome, families in MADE_OF.items()}
