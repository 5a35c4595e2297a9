"""Imports run downwards only, and each library lives in its room."""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.house.rooms import LAYERS, PACKAGES, ROOT, layer, modules

MAY_IMPORT = {
    "doors": {"doors", "verbs", "tools", "models", "values", "floor"},
    "verbs": {"tools", "values", "floor"},  # no verb imports another
    "tools": {"tools", "values", "floor"},
    "models": {"models", "values", "floor"},
    "values": {"values", "floor"},
    "floor": {"floor"},
}

WALLS = {
    "torch": ("models",),
    "torchvision": ("models",),
    "torchmetrics": ("models",),
    "safetensors": ("models",),
    "scipy": ("models", "cxrnode.results.smaller"),
    "pytorch_grad_cam": ("models",),
    "celery": ("cxrnode.jobs", "workers"),
    "kombu": ("cxrnode.jobs", "workers"),
    "flower": ("workers",),
    "tornado": ("workers",),
    "pynetdicom": (
        *("cxrnode.receive", "cxrnode.doorway", "cxrnode.inflow", "cxrnode.calling", "cxrnode.query"),
        *("cxrnode.deliver", "cxrnode.cfind", "cxrnode.storable", "cxrnode.retrieve"),
    ),
    "cryptography": ("cxrnode.validity",),
    "imagecodecs": ("cxrnode.decoders",),
    "dicomweb_client": ("cxrnode.web",),
    "requests": ("cxrnode.web",),
    "highdicom": ("cxrnode.results",),
    "sqlalchemy": ("cxrnode.ledger",),
    "alembic": ("cxrnode.ledger",),
    "psycopg": ("cxrnode.ledger",),
    "pyarrow": ("cxrnode.compare",),
    "prometheus_client": ("cxrnode.metrics",),
}


def faults(root: Path) -> Iterator[str]:
    """Every import under `root` that runs upwards, or reaches for a library through a wall."""
    rooms = modules(root)
    for module, path in rooms.items():
        for imported in imports(path):
            library = imported.partition(".")[0]
            if library in PACKAGES:
                target = room_of(imported, rooms)
                same_room = target.split(".")[:2] == module.split(".")[:2]
                if not same_room and layer(target) not in MAY_IMPORT[layer(module)]:
                    yield f"{module} ({layer(module)}) imports {target} ({layer(target)})"
            elif library in WALLS and not within(module, WALLS[library]):
                yield f"{module} imports {library}, which lives in {', '.join(WALLS[library])}"


def within(module: str, rooms: tuple[str, ...]) -> bool:
    """Whether a module is one of these rooms or lies in one."""
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def imports(path: Path) -> set[str]:
    """The full name of everything that a module imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import; write the whole name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {name.value for name in node.args if isinstance(name, ast.Constant)}
    return names


def room_of(imported: str, rooms: dict[str, Path]) -> str:
    """The module that an imported name lies in."""
    while imported not in rooms:
        imported, dot, _ = imported.rpartition(".")
        assert dot, f"{imported} is no room"
    return imported


def test_every_import_runs_downwards_and_through_no_wall() -> None:
    assert list(faults(ROOT)) == []


@pytest.mark.parametrize("library", WALLS)
@pytest.mark.parametrize("indent", ["", "def late():\n    "])
def test_a_library_in_the_wrong_room_is_found(tmp_path: Path, library: str, indent: str) -> None:
    plant(tmp_path, "cxrnode/show.py", f"{indent}from {library}.anything import one")

    assert [fault.partition(",")[0] for fault in faults(tmp_path)] == [f"cxrnode.show imports {library}"]


@pytest.mark.parametrize("room", ["cxrnode/jobs.py", "workers/app.py"])
def test_a_library_in_its_own_room_is_welcome(tmp_path: Path, room: str) -> None:
    plant(tmp_path, room, "import celery")

    assert list(faults(tmp_path)) == []


@pytest.mark.parametrize(
    ("room", "imported"),
    [
        ("cxrnode/errors.py", "cxrnode/uids.py"),  # floor to value
        ("cxrnode/settings.py", "cxrnode/spool.py"),  # value to tool
        ("cxrnode/spool.py", "cxrnode/receive.py"),  # tool to verb
        ("cxrnode/pixels.py", "models/card.py"),  # tool to models
        ("cxrnode/receive.py", "cxrnode/deliver.py"),  # verb to verb
        ("cxrnode/analyse.py", "models/reader.py"),  # verb to models: a model is passed in
        ("cxrnode/complete.py", "workers/app.py"),  # verb to door
        ("models/card.py", "cxrnode/pixels.py"),  # models to tool
        ("models/card.py", "workers/gpu.py"),  # models to door
    ],
)
def test_an_import_that_runs_upwards_or_sideways_is_found(tmp_path: Path, room: str, imported: str) -> None:
    plant(tmp_path, imported, "")
    package, name = imported.removesuffix(".py").split("/")
    plant(tmp_path, room, f"from {package} import {name}")

    (fault,) = faults(tmp_path)
    assert fault.startswith(room.removesuffix(".py").replace("/", "."))
    assert f"imports {package}.{name} " in fault


def test_an_import_by_importlib_is_an_import(tmp_path: Path) -> None:
    plant(tmp_path, "cxrnode/pixels.py", 'import importlib\n\nimportlib.import_module("torch.nn")')

    assert list(faults(tmp_path)) == ["cxrnode.pixels imports torch, which lives in models"]


def test_the_layers_name_every_room_and_no_room_that_is_gone() -> None:
    rooms = {name.split(".")[1] for name in modules() if name.startswith("cxrnode.")}

    assert sorted(chain.from_iterable(LAYERS.values())) == sorted(rooms)


def test_a_room_that_nobody_has_given_a_layer_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "cxrnode/utils.py", "from cxrnode import errors")
    plant(tmp_path, "cxrnode/errors.py", "")

    with pytest.raises(KeyError, match="utils"):
        list(faults(tmp_path))


def plant(root: Path, name: str, text: str) -> None:
    """A module with this text, its package beside it."""
    path = root / name
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    path.write_text(text + "\n", encoding="utf-8")
