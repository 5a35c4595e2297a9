"""Flower as shipped, in a browser behind nginx: a study is seen going through, by who has the password, and no patient.

One node, one study, one tour of every page (tests/browser/tour.py); the pictures are in tests-out.
"""

import base64
from pathlib import Path

import pytest

from tests import flowers
from tests.browser import tour
from tests.browser.tour import CANARY, Seen, found, gone_through

OPEN = {"/healthcheck": 200, "/static/x": 404, "/login": 404}
"""what needs no password, and what it says: OK; a file of Flower's own, not there; no other way in"""
NO_SUCH_ORDER = 405


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, modules: Path) -> Seen:
    return gone_through(tmp_path_factory.mktemp("flower"), modules)


def test_a_study_is_seen_going_through(seen: Seen) -> None:
    assert seen.tour["before"] == []
    ends = {name: states[-1] for name, states in seen.tour["states"].items()}
    assert ends == dict.fromkeys(tour.NAMES, "SUCCESS")


def test_a_task_says_which_study_it_is_and_where_it_goes(seen: Seen) -> None:
    """Red when the arguments are those of Celery: the study's key is what `cxrnode trace` takes."""
    told = {row["name"]: (row["args"], row["worker"].partition("@")[0]) for row in seen.tour["tasks"]}

    assert told == {
        "cxrnode.analyse": (f"study {seen.study}", "analyse"),
        "cxrnode.deliver": (f"to {CANARY.lower()}: study {seen.study}", "deliver"),
        "cxrnode.commit": (f"by {CANARY.lower()}: study {seen.study}", "deliver"),
    }


def test_every_page_opens_without_a_fault_and_asks_nobody_else(seen: Seen) -> None:
    """Red without the prefix in the settings, and (an old browser) without the Host that config/nginx passes on."""
    assert seen.old_browser == 200
    assert seen.tour["faults"] == []
    assert seen.tour["elsewhere"] == []
    pages = {name: page["words"] for name, page in seen.tour["pages"].items()}
    wanted = {
        "workers": ("analyse@", "deliver@"),
        "worker-analyse": ("Pool",),
        "worker-analyse-queues": ("stat", "live", "replay"),
        "worker-deliver-queues": ("deliver-stat", "deliver", "deliver-replay"),
        "worker-analyse-tasks": ("cxrnode.analyse",),
        "tasks": tour.NAMES,
        "task-1": (seen.study, "SUCCESS", "Routing key\ndeliver"),
        "task-2": (seen.study, "SUCCESS", "Routing key\ndeliver"),
        "task-3": (seen.study, "SUCCESS", "Routing key\nlive"),
        "broker": ("live", "deliver"),
    }
    assert [(page, words) for page, many in wanted.items() for words in many if words not in pages[page]] == []


def test_nothing_can_be_ordered_on_the_pages(seen: Seen) -> None:
    pages = " ".join(page["whole"] for page in seen.tour["pages"].values())

    assert [order for order in ("worker-shutdown", "task-revoke", "task-rate-limit", ">Apply<") if order in pages] == []


def test_a_browser_is_refused_without_the_password(seen: Seen) -> None:
    """Chromium tells it in one of two ways, as its own window for passwords is in time or not."""
    refused = {who: str(told).partition(" at ")[0] for who, told in seen.tour["refused"].items()}
    assert list(refused) == ["nobody", "wrong password"]
    assert set(refused.values()) <= {"401", "page.goto: net::ERR_INVALID_AUTH_CREDENTIALS"}


def test_everything_that_flower_serves_is_refused_without_the_password(seen: Seen) -> None:
    """Pages, API, orders and figures, and whatever a later Flower may add. Red without `authenticated`.

    Half of a password with a comma in it, and the one of a variable of Flower's, are no passwords.
    """
    asked = {path for _, _, path in seen.answers}
    assert {"/tasks", "/api/tasks", "/api/worker/shutdown/x", "/api/task/rate-limit/x", "/metrics"} <= asked
    served = {one: status for one, status in seen.answers.items() if one[2] not in OPEN}
    assert {one: status for one, status in served.items() if status not in {401, NO_SUCH_ORDER}} == {}
    orders = [path for path in asked if "/worker/" in path or path.endswith(("revoke/x", "limit/x", "send-task/x"))]
    assert {seen.answers["nobody", "POST", path] for path in orders if path.startswith("/api")} == {401}
    assert {path: seen.answers["nobody", "GET", path] for path in OPEN} == OPEN


def test_no_patient_is_anywhere_outside_of_what_is_made_to_hold_patients(seen: Seen) -> None:
    """Red when a name is put into a log line, a task, a label or a file's name."""
    assert found(seen.secrets, seen.told) == []


def test_what_holds_patients_by_design_was_left_out_by_name_alone(seen: Seen) -> None:
    """And what is looked for is found in it: the study is really in there."""
    uids = {"StudyInstanceUID", "SOPInstanceUID"}
    wanted = {"ledger.sqlite": uids, "spool": set(seen.secrets), "audit": {"StudyInstanceUID", "PatientID"}}

    for name, values in wanted.items():
        files = b"".join(content for path, content in seen.by_design.items() if path.startswith(f"state folder/{name}"))
        assert values - {what for what, _ in found(seen.secrets, {name: files})} == set(), name


def test_what_is_no_patients_is_found_in_every_kind_of_place(seen: Seen) -> None:
    """So that the test above can fail: the canary is where it may be, by the same search."""
    hits = {where for _, where in found({"canary": CANARY}, seen.told)}

    wanted = {
        *("page: tasks", "page: task-1", "page: task-2", "API: /api/tasks"),
        *("log of the node", "figures, receiver_port", "figures, delivery_port", "Redis, every command"),
        *("names of files", f"temp folder/{CANARY}", f"state folder/{CANARY}"),
    }
    assert wanted - hits == set()
    assert len([where for where in hits if where.startswith("API: task ")]) == 2  # an analysis goes nowhere
    assert b"cxrnode_studies_analysed_total" in seen.told["figures, analysis_port"]
    assert b"_kombu.binding" in seen.told["Redis, keys and values"]
    assert tour.PREFIX.encode() in seen.told["log of nginx"]


def test_what_is_packed_in_base64_is_found(seen: Seen) -> None:
    """As Celery has a task's arguments; those of the node are a random key, which was overheard so."""
    packed = base64.b64encode(b'[["20190823 of Qvxsynthetic"], {}]')
    overheard = seen.told["Redis, every command"]

    assert found(tour.PATIENT, {"body": b'"body": "' + packed + b'"'}) == [("PatientBirthDate", "body")]
    assert b'"callbacks"' not in overheard
    assert b'"callbacks"' in tour.unpacked(overheard)
    assert flowers.doors()
