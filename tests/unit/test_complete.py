"""complete: a study is whole when its source says so, later when it says that there is more, else when it is quiet."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cxrnode.complete import ask, close_whole, whole
from cxrnode.ledger import arrivals, clock, completions, parcels, returns, tables
from cxrnode.ledger.completions import Closing, Question, Reason, Said, Source, Standing
from cxrnode.ledger.returns import Origin
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Fate, State
from cxrnode.ledger.timeline import timeline
from cxrnode.peers.query import Answer, Inquiries
from cxrnode.settings import Settings
from cxrnode.settings.sender import Sender
from tests import sources
from tests.builders import chest_like, make_cxr
from tests.desks import HOUR, T0, open_desk, read_all, receive
from tests.fakes import FakePacs
from tests.ledgers import Bench

QUIET_S, LONGEST_S = 20.0, 120.0


def standing(*found: tuple[Said | None, int, int], ours: tuple[int, int] = (0, 0)) -> Standing:
    """A round of these senders, each with what it said, its count, and how many came from it."""
    everything = sum(came for _, _, came in found)
    return Standing(tuple(Source(*one, everything, *ours) for one in found), everything)


def judged(one: Standing, quiet_for_s: float) -> Reason | None:
    closing = whole(one, quiet_for_s, QUIET_S, LONGEST_S)
    return closing and closing.reason


NEVER_LATER = [
    (standing((None, 0, 4)), Reason.QUIET),
    (standing((Said.SILENT, 0, 4)), Reason.SILENT),
    (standing((Said.REFUSED, 0, 4)), Reason.REFUSED),
    (standing((Said.NO_ANSWER, 0, 4)), Reason.NO_ANSWER),
    (standing((Said.COUNT, 2, 2), (None, 0, 2)), Reason.UNDECIDED),  # of two senders one was not asked
    (standing((Said.COUNT, 3, 2), (None, 0, 2)), Reason.UNDECIDED),  # four came, but perhaps not its three
    (standing((Said.COUNT, 6, 4), ours=(0, 2)), Reason.UNDECIDED),  # the two may be ours or not
]


@pytest.mark.parametrize(("one", "reason"), NEVER_LATER)
def test_without_a_count_that_decides_quiet_time_alone_does(one: Standing, reason: Reason) -> None:
    assert [judged(one, quiet) for quiet in (0, QUIET_S - 0.1, QUIET_S)] == [None, None, reason]


@pytest.mark.parametrize(
    "one",
    [
        standing((Said.COUNT, 4, 4)),
        standing((Said.COUNT, 3, 4)),
        standing((Said.COUNT, 6, 4), ours=(2, 2)),
        standing((Said.COUNT, 2, 2), (Said.COUNT, 2, 2)),
    ],
)
def test_as_many_as_the_source_has_is_whole_at_once(one: Standing) -> None:
    """Red without the COMPLETE of `whole`, and (results of ours) without `- one.ours_surely`."""
    assert judged(one, 0) is Reason.COMPLETE


@pytest.mark.parametrize(
    "one",
    [
        standing((Said.COUNT, 5, 4)),
        standing((Said.COUNT, 7, 4), ours=(2, 2)),
        standing((Said.COUNT, 5, 4), (Said.COUNT, 0, 0)),
    ],
)
def test_while_the_source_has_more_the_study_waits_but_not_for_ever(one: Standing) -> None:
    """Red without the INCOMPLETE of `whole`."""
    assert [judged(one, quiet) for quiet in (QUIET_S, LONGEST_S - 1, LONGEST_S)] == [None, None, Reason.INCOMPLETE]


@dataclass
class Heard:
    """Inquiries that are noted and answered by the test."""

    asked: list[Question] = field(default_factory=list)
    waiting: list[Answer] = field(default_factory=list)
    free: Callable[[object], bool] = lambda _source: True

    def begin(self, question: Question, _source: object) -> None:
        self.asked.append(question)

    def answers(self) -> list[Answer]:
        told, self.waiting = self.waiting, []
        return told

    def answer(self, said: Said, instances: int | None = None) -> None:
        self.waiting.append(Answer(self.asked[-1], said, instances))


SENDER = Sender(ae_title="A", addresses=("::1",), return_port=104, query=True)
SETTINGS = Settings(
    receiving={"senders": [SENDER]}, destinations=[FakePacs(port=1).destination(ae_title="A", name="a")]
)


def turn(bench: Bench, heard: Heard | Inquiries, seconds: float, settings: Settings = SETTINGS) -> list[str]:
    """A turn of the reconciler so many seconds after the beginning; what is known of each round's closing."""
    now = T0 + timedelta(seconds=seconds)
    ask(bench.ledger, heard, settings, now)  # type: ignore[arg-type]  # the test's own inquiries
    close_whole(bench.ledger, bench.spool, settings, now)
    return sorted(line.closed for line in round_lines(bench.ledger))


def test_a_source_is_asked_once_when_the_study_is_quiet_and_again_more_and_more_rarely(bench: Bench) -> None:
    """Red without `* 2.0 **` in completions.ask."""
    bench.arrive("1.1")
    heard, when = Heard(), []
    for second in range(130):
        before = len(heard.asked)
        turn(bench, heard, second)
        if len(heard.asked) > before:
            when.append(second)
            heard.answer(Said.COUNT, 2)

    assert when == [3, 9, 21, 45, 93]
    assert {(one.study_instance_uid, one.ae_title, one.address) for one in heard.asked} == {("1.9", "A", "::1")}
    (line,) = round_lines(bench.ledger)
    assert (line.closed, line.incomplete) == ("incomplete", "quiet for 120 s; the source has 2 instances, 1 came")
    assert "incomplete" in [event.what for event in timeline(bench.ledger, "1.9").events]


def test_an_image_that_comes_makes_what_was_said_before_it_old(bench: Bench) -> None:
    """Red with `said` in place of `current` in completions.standing."""
    bench.arrive("1.1")
    heard = Heard()
    turn(bench, heard, 3)
    heard.answer(Said.COUNT, 2)
    assert turn(bench, heard, 4) == [""]
    bench.arrive("1.2", at=T0 + timedelta(seconds=5))

    assert turn(bench, heard, 6) == [""]
    assert turn(bench, heard, 8) == [""]
    heard.answer(Said.COUNT, 2)
    assert turn(bench, heard, 9) == ["complete"]
    assert [one.last_received_at for one in heard.asked] == [T0, T0 + timedelta(seconds=5)]


def test_an_answer_that_comes_after_the_next_image_is_not_kept(bench: Bench) -> None:
    """Red without the comparison in completions.answered."""
    bench.arrive("1.1")
    heard = Heard()
    turn(bench, heard, 3)
    bench.arrive("1.2", at=T0 + timedelta(seconds=4))
    turn(bench, heard, 7)
    heard.waiting.append(Answer(heard.asked[0], Said.COUNT, 1))

    assert turn(bench, heard, 8) == [""]


def test_a_question_without_an_answer_costs_nobody_time_and_survives_a_restart(bench: Bench) -> None:
    bench.arrive("1.1")
    turn(bench, Heard(), 3)
    bench.ledger.close()

    heard = Heard()
    assert turn(bench, heard, 8) == [""]
    assert heard.asked == []  # nobody asks before the time that the ledger has
    assert turn(bench, heard, 9) == [""]
    assert len(heard.asked) == 1
    assert turn(bench, heard, 20) == ["no answer"]


def test_two_receivers_on_one_ledger_ask_once(bench: Bench) -> None:
    """Red without `before.ask_at > now` in completions.ask."""
    bench.arrive("1.1")
    now = T0 + timedelta(seconds=3)
    (question,) = completions.due(bench.ledger, {"A"}, 3.0, now)

    assert [completions.ask(bench.ledger, question, 3.0, now) for _ in range(2)] == [True, False]


def test_a_clock_that_is_put_back_puts_off_no_question(bench: Bench) -> None:
    """Red without `questions` in clock.WAITED_FOR."""
    bench.arrive("1.1")
    turn(bench, Heard(), 3)
    clock.put_back(bench.ledger, T0 - HOUR)

    due = [len(completions.due(bench.ledger, {"A"}, 3.0, T0 - HOUR + timedelta(seconds=later))) for later in (8, 9)]
    assert due == [0, 1]


def test_what_is_closed_already_is_not_asked_about(bench: Bench) -> None:
    bench.arrive("1.1")
    (question,) = completions.due(bench.ledger, {"A"}, 3.0, T0 + timedelta(seconds=20))
    arrivals.close_settled(bench.ledger, QUIET_S, T0 + timedelta(seconds=20))

    assert not completions.ask(bench.ledger, question, 3.0, T0 + timedelta(seconds=20))
    assert completions.due(bench.ledger, {"A"}, 3.0, T0 + timedelta(seconds=30)) == []


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(receiving={"senders": [SENDER.model_copy(update={"query": False})]})]
)
def test_who_may_not_be_asked_is_not_asked(bench: Bench, settings: Settings) -> None:
    bench.arrive("1.1")
    heard = Heard()

    assert turn(bench, heard, 19, settings) == [""]
    assert turn(bench, heard, 20, settings) == ["quiet"]
    assert heard.asked == []


def test_our_results_in_the_source_are_not_waited_for(bench: Bench) -> None:
    """Two results at it, and one late image: it counts four. Red without `surely` in completions.standing."""
    now = bench.analysed("a")
    bench.deliver(now, "a", Fate.ACCEPTED, Fate.ACCEPTED)

    assert late_image_where_four_are_counted(bench, now) == ["complete", "quiet"]


def test_results_that_went_back_to_the_source_are_not_waited_for(bench: Bench) -> None:
    """The destination is whoever sent the study. Red without `returns` in completions._taken."""
    now = bench.analysed("sender")
    held = bench.delivery(now, "sender")
    returns.note(bench.ledger, held.round_key, "sender", Origin("A", "::1"))
    bench.answer(held, now, Fate.ACCEPTED, Fate.ACCEPTED)
    parcels.finish_delivery(bench.ledger, held, 1.0, now)

    assert late_image_where_four_are_counted(bench, now) == ["complete", "quiet"]


def late_image_where_four_are_counted(bench: Bench, now: datetime) -> list[str]:
    """A minute later another image comes, and its source has four instances; why each round was closed."""
    late = now + timedelta(seconds=60)
    bench.arrive("1.2", at=late)
    heard, since = Heard(), (late - T0).total_seconds()
    turn(bench, heard, since + 3)
    heard.answer(Said.COUNT, 4)
    return turn(bench, heard, since + 4)


def test_images_that_came_twice_count_once(bench: Bench) -> None:
    bench.arrive("1.1")
    bench.arrive("1.1", aside_of=bench.spool.key_for("1.1"))
    bench.correct("1.1", T0)
    heard = Heard()
    turn(bench, heard, 3)
    heard.answer(Said.COUNT, 2)

    assert turn(bench, heard, 20) == [""]


def test_a_round_of_before_reasons_were_kept_has_none(bench: Bench) -> None:
    bench.ready("1.1")
    with bench.ledger.writing() as db:
        db.execute(tables.completions.delete())

    (line,) = round_lines(bench.ledger)
    assert (line.closed, line.incomplete, line.state) == ("", "", State.READY)


@pytest.fixture
def waked() -> threading.Event:
    return threading.Event()


@pytest.fixture
def inquiries(waked: threading.Event) -> Iterator[Inquiries]:
    return Inquiries("CXRNODE", waked.set)


def question(number: int) -> Question:
    return Question(f"{number}", f"1.2.{number}", "A", "127.0.0.1", T0)


def test_a_slow_source_holds_up_nobody_and_is_asked_one_thing_at_a_time(
    inquiries: Inquiries, waked: threading.Event
) -> None:
    """Red without `_asking.add` in Inquiries.begin."""
    with sources.Source(counts=[4], gate=threading.Event()).listening() as slow:
        with sources.Source(counts=[2]).listening() as quick:
            at_slow, at_quick = (one.sender().source("127.0.0.1") for one in (slow, quick))
            inquiries.begin(question(1), at_slow)
            assert not inquiries.free(at_slow)
            assert inquiries.free(at_quick)
            inquiries.begin(question(2), at_quick)
            assert waked.wait(10)
            assert [(one.question.round_key, one.instances) for one in inquiries.answers()] == [("2", 2)]
        waked.clear()
        slow.gate.set()
        assert waked.wait(10)
        assert [(one.said, one.instances) for one in inquiries.answers()] == [(Said.COUNT, 4)]
        assert inquiries.free(at_slow)
        assert slow.most_at_once == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (sources.Source(), Said.SILENT),
        (sources.Source(counts=["junk"]), Said.SILENT),
        (sources.Source(offers=False), Said.REFUSED),
        (sources.Source(answer=lambda _request: iter([(0xA900, None)])), Said.REFUSED),
        (None, Said.NO_ANSWER),
    ],
)
def test_what_a_source_makes_of_a_question_is_told(
    inquiries: Inquiries, waked: threading.Event, source: sources.Source | None, said: Said
) -> None:
    with (source or sources.Source()).listening() as listening:
        at = listening.sender().source("127.0.0.1")
        if source is not None:
            inquiries.begin(question(1), at)
            assert waked.wait(10)
    if source is None:  # it has ended
        inquiries.begin(question(1), at)
        assert waked.wait(10)

    assert [(one.said, one.instances) for one in inquiries.answers()] == [(said, None)]


def test_the_results_of_a_study_that_was_incomplete_say_so(tmp_path: Path) -> None:
    """Through bytes. Red without `study.warnings` in analyse.prepare."""
    desk = open_desk(tmp_path, [FakePacs(port=1).destination()])
    receive(desk, make_cxr(chest_like(96, 80)))

    def rule(_standing: Standing, _quiet_for_s: float, _quiet_s: float) -> Closing:
        return Closing(Reason.INCOMPLETE, 5, 1)

    arrivals.close_settled(desk.ledger, QUIET_S, T0 + timedelta(minutes=2), rule)
    read_all(desk)

    (report,) = (desk.spool.root / "results").rglob("report-*.dcm")
    told = "Study incomplete: its source had 5 instances when 1 had come."
    assert told.encode() in report.read_bytes()
    desk.ledger.close()
