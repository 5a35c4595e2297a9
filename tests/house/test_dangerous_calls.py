"""Nothing that is shipped evaluates text as code, runs a shell, unpickles, or puts a value into SQL as text.

ruff's rules S (flake8-bandit) look for most of this line by line; here is the list without a way to switch one off.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.rooms import ROOT, modules

NAMES = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
CALLS = {
    *("os.system", "os.popen", "os.execl", "os.execv", "os.spawnl", "tempfile.mktemp"),
    *("subprocess.getoutput", "subprocess.getstatusoutput"),
}
LIBRARIES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "telnetlib", "ftplib", "xmlrpc"}
PROCESSES = {"cxrnode.up", "cxrnode.commands.demo", "cxrnode.ledger.copies"}
"""The rooms that start programs: their own commands, as lists."""
SQL = {"text", "exec_driver_sql", "literal_column"}
BY_HAND = {"cxrnode.ledger.migrations.versions.r1_0006_tallies"}
"""Its triggers are written out, by table and event; no value of anybody's is in them."""


def faults(room: str, source: str) -> Iterator[str]:
    """Whatever of the list above is in one module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            for library in {name.partition(".")[0] for name in named}:
                if library in LIBRARIES or (library == "subprocess" and room not in PROCESSES):
                    yield f"{room} imports {library}"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in NAMES | CALLS:
                yield f"{room} calls {called}"
            if called == "torch.load" and "weights_only=True" not in ast.unparse(node):
                yield f"{room} unpickles with torch.load"
            if any(one.arg == "shell" for one in node.keywords):
                yield f"{room} calls {called} with shell"
            made = node.args and isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
            if called.rpartition(".")[2] in SQL and made and "ledger" in room and room not in BY_HAND:
                yield f"{room} puts a value into the text of SQL"


@pytest.mark.parametrize("room", sorted(modules()))
def test_nothing_on_the_list_is_in_a_room(room: str) -> None:
    assert list(faults(room, modules()[room].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("eval(route.condition)", "calls eval"),
        ("import pickle", "imports pickle"),
        ("from yaml import load", "imports yaml"),
        ("import subprocess", "imports subprocess"),
        ("import os; os.system(name)", "calls os.system"),
        ("torch.load(path)", "unpickles with torch.load"),
        ("run(['dcmdump', name], shell=True)", "calls run with shell"),
        ("connection.execute(text(f'SELECT * FROM studies WHERE key = {key}'))", "puts a value into the text of SQL"),
        ("connection.exec_driver_sql('SELECT ' + name)", "puts a value into the text of SQL"),
    ],
)
def test_each_is_found(line: str, fault: str) -> None:
    assert list(faults("cxrnode.ledger.work", line)) == [f"cxrnode.ledger.work {fault}"]


def test_the_settings_and_the_routes_in_them_are_values_alone(tmp_path: Path) -> None:
    from cxrnode.settings import load

    attack = "__import__('pathlib').Path('attacked').touch()"
    path = tmp_path / "node.toml"
    path.write_text(
        f'[[routes]]\nname = "one"\nmodel = "m"\nmodality = ["CR"]\ncalling_ae = ["X"]\nbody_part = ["{attack}"]\n'
    )

    assert load(path).routes[0].body_part == (attack.upper(),)
    assert not (ROOT / "attacked").exists()
