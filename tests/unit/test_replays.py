"""Replays in the ledger: one of the same words at a time, each study of a plan once at a time, forgotten in bites."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

from cxrnode.ledger import Ledger, planned, replays
from cxrnode.ledger.planned import Hold, Known
from cxrnode.ledger.replays import Request
from cxrnode.ledger.replaytables import Step
from cxrnode.plans.plan import Entry, Head, Origin, Verdict
from tests.ledgers import T0, Bench

HEAD = Head(origin=Origin.SPOOL, made_at=T0)
WORDS = Request("a" * 64, "", send=True, again=False)
NOTHING = Known((), sent=False)
HELD = Hold(T0 + timedelta(minutes=2))


def test_who_ask_in_the_same_words_at_once_begin_one_replay(bench: Bench) -> None:
    """Red when `begin` does not look for an earlier one in its own transaction."""
    asking = 6
    together = Barrier(asking)

    def ask(_: int) -> str:
        ledger = Ledger(bench.url)
        replays.unfinished(ledger, WORDS)  # the database is open
        together.wait()
        key = replays.begin(ledger, WORDS, HEAD, T0).key
        ledger.close()
        return key

    with ThreadPoolExecutor(asking) as threads:
        assert len(set(threads.map(ask, range(asking)))) == 1
    (first,) = replays.listed(bench.ledger)
    replays.finished(bench.ledger, first.key, T0)
    assert replays.begin(bench.ledger, WORDS, HEAD, T0).key != first.key


def test_a_study_that_a_plan_names_twice_is_under_way_once_at_a_time(bench: Bench) -> None:
    """Red without `_twin_under_way`, and where one claim takes both."""
    replay = replays.begin(bench.ledger, WORDS, HEAD, T0).key
    planned.load(bench.ledger, replay, 1, [Entry(study=uid) for uid in ("1.1", "1.1", "1.2", "1.1")], T0)
    first = planned.claim(bench.ledger, replay, 4, T0, HELD, NOTHING).studies
    assert [one.number for one in first] == [1, 3]
    assert planned.claim(bench.ledger, replay, 4, T0, HELD, NOTHING).studies == ()

    planned.conclude(bench.ledger, first[0], Verdict.NOT_FOUND, "", T0)
    (second,) = planned.claim(bench.ledger, replay, 4, T0, HELD, NOTHING).studies
    assert second.number == 2
    planned.conclude(bench.ledger, second, Verdict.NOT_FOUND, "", T0)
    assert [one.number for one in planned.claim(bench.ledger, replay, 4, T0, HELD, NOTHING).studies] == [4]


def test_what_was_loaded_is_forgotten_in_bites_and_only_of_that_replay(bench: Bench) -> None:
    keys = [replays.begin(bench.ledger, Request(digest, "", send=True, again=False), HEAD, T0).key for digest in "ab"]
    for key in keys:
        planned.load(bench.ledger, key, 1, [Entry(study=f"1.{number}") for number in range(7)], T0)
    for _ in range(2):
        replays.clear(bench.ledger, keys[0], 3)

    assert [planned.steps(bench.ledger, key) for key in keys] == [{}, {Step.WAITING: 7}]
