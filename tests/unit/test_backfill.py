"""`cxrnode replay` at the command line: what it shows, what it writes and what it refuses."""

import json
import shutil
import stat
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tomli_w
from typer.testing import CliRunner, Result

from cxrnode.backfill.progress import shown
from cxrnode.cli import app, main
from cxrnode.draft import locked
from cxrnode.errors import SettingsError
from cxrnode.ledger import Ledger, concluded, planned, replays
from cxrnode.ledger.replays import Request
from cxrnode.ledger.replaytables import Step
from cxrnode.plans import plan as plans
from cxrnode.plans import verdicts
from cxrnode.plans.plan import Entry, Head, Origin, Verdict, entries_of
from cxrnode.replay.asked import Asked
from cxrnode.replay.run import Run
from cxrnode.replay.standing import Standing
from cxrnode.settings import load
from tests.nodes import saved
from tests.replaying import film

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(tomli_w.dumps({"node": {"state_dir": str(tmp_path / "state")}}))
    monkeypatch.setenv("CXRNODE_CONFIG", str(path))
    return path


def run(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == status, (done.output, done.exception)
    return done


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """The one line that the command says, with exit status 2."""
    monkeypatch.setattr("sys.argv", ["cxrnode", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(3):
        saved(film(), folder / f"{number}.dcm")
    (folder / "cut.dcm").write_bytes((folder / "0.dcm").read_bytes()[:300])
    (folder / "notes.txt").write_text("bring the cable")
    return folder


def test_a_dry_run_shows_what_a_plan_comes_to_and_writes_nothing_but_the_plan(config: Path, films: Path) -> None:
    plan = config.parent / "plan.jsonl"
    told = run("replay", str(films), "--dry-run", "--save-plan", str(plan)).output
    assert [words in told for words in ("to be read", "3", "1 no DICOM", str(plan.name))] == [True] * 4
    assert [entry.verdict for entry in entries_of(plan)] == [None, None, None, Verdict.FAILED]
    assert stat.S_IMODE(plan.stat().st_mode) == 0o600

    settings = load(config)
    assert replays.listed(Ledger(settings.ledger_url)) == []
    assert [path.name for path in (settings.node.state_dir / "replays").iterdir()] == []


@pytest.mark.usefixtures("config")
def test_a_dry_run_tells_machines_the_same(films: Path) -> None:
    told = json.loads(CliRunner().invoke(app, ["replay", str(films), "--dry-run", "--json"]).stdout)

    wanted = {"studies": 4, "decided": {"failed": 1}, "read_before": 0, "to_read": 3, "images": 3}
    assert wanted.items() <= told["plan"].items()
    assert (told["plan"]["size"] > 40000, told["plan"]["size_is_told"], told["plan"]["duration_s"]) == (
        True,
        True,
        None,
    )


def test_what_a_list_names_and_nobody_has_ends_with_its_verdict_at_once(config: Path) -> None:
    listing, file = config.parent / "list.csv", config.parent / "verdicts.csv"
    listing.write_text('study,accession\n1.2.3,\n,A7\n1.2.3,\n"=cmd",\n')
    arguments = ("replay", "--from-spool", "--list", str(listing), "--verdicts", str(file))
    told = run(*arguments).output

    rows = list(verdicts.read(file))
    assert [(row.number, row.study_instance_uid, row.verdict) for row in rows] == [
        (1, "1.2.3", Verdict.NOT_FOUND),
        (2, "", Verdict.FAILED),
        (3, "", Verdict.FAILED),
    ]
    assert "knows no accession numbers" in rows[1].reason
    assert "line 5" in rows[2].reason
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file.name) in told

    listed = json.loads(run("replays", "--json").output)
    assert [(one["state"], one["source"], one["steps"]) for one in listed] == [("ended", "spool", {"done": 3})]
    assert "ended" in run("replays").output


def test_a_replay_has_not_ended_before_its_verdict_file_is_there(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the end is noted first: the same command would begin all of it anew."""
    listing, file = config.parent / "list.csv", config.parent / "verdicts.csv"
    listing.write_text("study\n1.2.3\n")
    arguments = ("replay", "--from-spool", "--list", str(listing), "--verdicts", str(file), "--again")

    def full(*_: object) -> None:
        raise SettingsError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(verdicts, "write", full)
        run(*arguments, status=1)
    (begun,) = json.loads(run("replays", "--json").output)
    assert (begun["state"], begun["finished_at"]) == ("under way", None)

    run(*arguments)
    (ended,) = json.loads(run("replays", "--json").output)
    assert (ended["key"], ended["state"]) == (begun["key"], "ended")
    assert len(list(verdicts.read(file))) == 1


@pytest.mark.usefixtures("config")
def test_verdicts_that_do_not_sum_to_the_plan_are_told_and_the_replay_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text("study\n1.2.3\n1.2.4\n")
    arguments = ("replay", "--from-spool", "--list", str(listing))
    with monkeypatch.context() as patched:
        patched.setattr(concluded, "rows", lambda *_: iter(()))
        told = run(*arguments, status=1).output
    assert "DOES NOT BALANCE" in told
    assert "0 studies have a verdict, the plan has 2. The same command goes on." in told

    run(*arguments)
    assert [one["state"] for one in json.loads(run("replays", "--json").output)] == ["ended"]


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("PATH", "--window", "19:00-19:00"), "the window '19:00-19:00' never opens"),
        (("PATH", "--window", "7pm-6am"), "the window '7pm-6am' is no time of the day; wanted HH:MM-HH:MM"),
        (("--archive", "main", "--from", "2026-01-01"), "no archive is called 'main'"),
        (("PATH", "--model", "no-such-model"), "no-such-model"),
        (("PATH", "--from-spool"), "PATH and --from-spool; wanted one of"),
        (("nowhere",), "nowhere"),
        (("PATH", "--verdicts", "PATH/none/verdicts.csv"), "none/verdicts.csv: no file can be written there"),
        (("PATH", "--dry-run", "--save-plan", "PATH/notes.txt"), "notes.txt exists; wanted a new file"),
        (("--plan", "PATH/notes.txt"), "notes.txt"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    films: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    given = [one.replace("PATH", str(films)) for one in arguments]

    assert told in refused(capsys, monkeypatch, "replay", *given)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere",),
        ("--archive", "main", "--from", "2026-01-01"),
        ("--plan", "PLAN-OF-NO-ARCHIVE"),
        ("--plan", "CUT-PLAN"),
        ("PATH", "--verdicts", "PATH/none/verdicts.csv"),
    ],
)
def test_what_cannot_be_done_leaves_no_replay(
    config: Path,
    films: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    """Red when a replay is begun before its plan is proved: it would be "being planned" for ever."""
    lost, cut = config.parent / "lost.jsonl", config.parent / "cut.jsonl"
    plans.write(lost, Head(origin=Origin.ARCHIVE, archive="lost", made_at=T0), [Entry(study="1.2")])
    plans.write(cut, Head(origin=Origin.SPOOL, made_at=T0), [Entry(study="1.2")])
    cut.write_text(cut.read_text() + '{"study": ')
    named = {"PLAN-OF-NO-ARCHIVE": str(lost), "CUT-PLAN": str(cut)}
    refused(capsys, monkeypatch, "replay", *(named.get(one, one.replace("PATH", str(films))) for one in arguments))

    settings = load(config)
    assert replays.listed(Ledger(settings.ledger_url)) == []
    folder = settings.node.state_dir / "replays"
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.parametrize("cut_at", ["begin", "replace", "load", "loaded"])
def test_a_replay_that_is_cut_off_before_its_plan_is_loaded_is_gone_on_with(
    config: Path, monkeypatch: pytest.MonkeyPatch, cut_at: str
) -> None:
    """Killed there: one replay is begun at most, and no plan is left beside the folders."""
    listing = config.parent / "list.csv"
    listing.write_text("study\n1.2.3\n1.2.4\n")
    arguments = ("replay", "--from-spool", "--list", str(listing))
    rooms: dict[str, object] = {"begin": replays, "loaded": replays, "load": planned, "replace": Path}

    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    def own_plan(path: Path, target: Path) -> Path:
        if target.name == "plan.jsonl":
            raise KilledError
        return Path(shutil.move(path, target))

    with monkeypatch.context() as patched:
        patched.setattr(rooms[cut_at], cut_at, own_plan if cut_at == "replace" else killed)
        with pytest.raises(KilledError):
            CliRunner().invoke(app, arguments, catch_exceptions=False)
    folder = load(config).node.state_dir / "replays"
    drafts = list(folder.glob("*.jsonl"))
    assert [stat.S_IMODE(draft.stat().st_mode) for draft in drafts] == [0o600] * (cut_at in {"begin", "replace"})
    begun = json.loads(run("replays", "--json").output)
    assert [one["state"] for one in begun] == ["being planned"] * (cut_at != "begin")

    run(*arguments)
    (ended,) = json.loads(run("replays", "--json").output)
    assert (ended["state"], ended["verdicts"]) == ("ended", {"not found": 2})
    assert list(folder.glob("*.jsonl")) == []
    assert len(list(folder.glob("*/plan.jsonl"))) == 1


@pytest.mark.usefixtures("config")
def test_the_replays_are_told_to_machines(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text("study\n1.2.3\n")
    run("replay", "--from-spool", "--list", str(listing), "--no-send", "--again")
    (told,) = json.loads(run("replays", "--json").output)

    wanted = {"source": "spool", "model": "", "send": False, "again": True, "state": "ended", "paused_at": None}
    assert wanted.items() <= told.items()
    assert told["asked"] == {"from-spool": "yes", "list": str(listing)}
    assert (told["steps"], told["verdicts"]) == ({"done": 1}, {"not found": 1})
    assert told["made_at"] <= told["loaded_at"] <= told["finished_at"]
    assert len(told["key"]) == 32


@pytest.mark.usefixtures("config")
def test_a_run_that_is_stopped_ends_with_status_1_and_the_same_command_goes_on(
    films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Run, "go", lambda *_: False)
        told = run("replay", str(films), status=1).output
    assert "Stopped:" in told
    assert "The same command goes on." in told
    assert [one["state"] for one in json.loads(run("replays", "--json").output)] == ["under way"]


def test_a_replay_that_is_running_is_not_run_twice(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, films: Path
) -> None:
    """Red without the lock: two runs would fetch everything twice as fast as was asked for."""
    settings = load(config)
    asked = Asked(paths=(str(films),))
    head = Head(origin=Origin.FILES, made_at=T0)
    begun = replays.begin(Ledger(settings.ledger_url), asked.request, head, T0)
    folder = settings.node.state_dir / "replays" / begun.key
    folder.mkdir(parents=True)
    with locked(folder):
        told = refused(capsys, monkeypatch, "replay", str(films))

    assert f"replay {begun.key[:8]} is running already" in told


def test_replays_are_paused_and_resumed_by_how_their_keys_begin(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(load(config).ledger_url)
    assert "No replay is under way." in run("pause").output
    head = Head(origin=Origin.SPOOL, made_at=T0)
    one, other = (replays.begin(ledger, Request(name, "", send=True, again=False), head, T0) for name in "ab")
    replays.loaded(ledger, one.key, T0)

    assert one.key[:8] in run("pause", one.key[:8]).output
    assert (replays.paused(ledger, one.key), replays.paused(ledger, other.key)) == (True, False)
    assert "paused" in run("replays").output
    run("resume")
    assert not replays.paused(ledger, one.key)
    assert "no replay that is under way is called so" in refused(capsys, monkeypatch, "pause", "zzz")


def test_without_a_terminal_a_line_a_minute_is_said_and_to_machines_an_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Red when every turn is told, and when a turn that says why it waits is not."""
    steps = Counter({Step.DONE: 2, Step.WAITING: 3})
    standing = Standing(steps, Counter({Verdict.ANALYSED: 2}), waits="outside its window")
    for as_json in (False, True):
        with shown(standing, as_json=as_json) as show:
            for second in range(0, 150, 5):
                show(standing, T0 + timedelta(seconds=second))
    told = capsys.readouterr()

    assert told.err.count("2 of 5 studies done (2 analysed); 0 being fetched") == 3
    assert told.err.count("outside its window") == 3
    objects = [json.loads(one)["progress"] for one in told.out.splitlines()]
    assert [(one["steps"]["done"], one["verdicts"], one["waits"]) for one in objects] == [
        (2, {"analysed": 2}, "outside its window")
    ] * 3
