"""The command line loads what a command needs and no more: torch alone costs a second."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import make_cxr
from tests.nodes import saved

SLOW = {"torch", "torchvision", "timm", "pytorch_grad_cam", "highdicom", "scipy", "matplotlib"}
NOT_FOR_HELP = {"numpy", "pydantic_settings", "structlog", "pydicom", "pynetdicom", "sqlalchemy", "celery"}
NOT_FOR_A_WORKER = {"timm", "sklearn", "matplotlib", "sympy", "huggingface_hub", "pandas"}
NOR_OF_TORCH = {"torch._dynamo", "torch._inductor", "torch.distributed.tensor"}
RUN = """
import sys
sys.argv = ["cxrnode", {arguments}]
from cxrnode.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import cxrnode.cli",
        "import models.card",
        "import cxrnode.receive, cxrnode.deliver, cxrnode.complete",
        RUN.format(arguments='"--help"'),
        RUN.format(arguments='"status", "--help"'),
        RUN.format(arguments='"status", "--json"'),
        RUN.format(arguments='"analyse", "--help"'),
    ],
    ids=["cli", "card", "verbs", "--help", "status --help", "status", "analyse --help"],
)
def test_what_needs_no_model_loads_no_torch(code: str, tmp_path: Path) -> None:
    assert loaded(code, tmp_path) & SLOW == set()


@pytest.mark.parametrize("command", ["", "up", "status", "analyse", "replay", "evaluate", "compare"])
def test_help_loads_neither_settings_nor_numbers(command: str, tmp_path: Path) -> None:
    arguments = ", ".join(f'"{word}"' for word in (command, "--help") if word)

    assert loaded(RUN.format(arguments=arguments), tmp_path) & (SLOW | NOT_FOR_HELP) == set()


def test_what_foretells_reads_cards_without_torch(tmp_path: Path) -> None:
    film = saved(make_cxr(), tmp_path / "film.dcm")

    assert "torch" not in loaded(RUN.format(arguments=f'"rules", "test", {str(film)!r}'), tmp_path)


def test_a_ledger_is_opened_without_alembic_once_it_is_up_to_date(tmp_path: Path) -> None:
    status = RUN.format(arguments='"status", "--json"')

    assert "alembic" not in loaded("import cxrnode.cli", tmp_path)
    assert "alembic" in loaded(status, tmp_path)
    assert "alembic" not in loaded(status, tmp_path)


def test_what_reads_radiographs_is_seen_to_load_torch(tmp_path: Path) -> None:
    assert "torch" in loaded("import models.reader", tmp_path)


def test_a_warm_worker_has_not_loaded_what_its_libraries_import_beside(tmp_path: Path) -> None:
    """They would be two thirds of its imports. Each of its models has made a pass, and a map."""
    worker = """
import workers.app, workers.tasks, workers.analysis
from cxrnode.settings import load
from workers.gpu import open_shelf
open_shelf(load())
"""

    names = names_loaded(worker, tmp_path)

    assert {"torch", "pytorch_grad_cam", "cxrnode.results.make"} <= names
    assert names & (NOT_FOR_A_WORKER | NOR_OF_TORCH) == set()


def loaded(code: str, folder: Path) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running this code."""
    return {name.partition(".")[0] for name in names_loaded(code, folder)}


def names_loaded(code: str, folder: Path) -> set[str]:
    """Every module of those."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        env=os.environ | {"CXRNODE_NODE__STATE_DIR": str(folder / "var")},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stderr.split())
