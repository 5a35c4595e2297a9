"""Imports run downwards only and in no circle, and each library lives in its room."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
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
        *(
            "cxrnode.receive",
            "cxrnode.receiving.doorway",
            "cxrnode.receiving.inflow",
            "cxrnode.peers.calling",
            "cxrnode.peers.query",
        ),
        *("cxrnode.deliver", "cxrnode.peers.cfind", "cxrnode.peers.storable", "cxrnode.peers.retrieve"),
    ),
    "cryptography": ("cxrnode.validity",),
    "imagecodecs": ("cxrnode.decoding.decoders",),
    "dicomweb_client": ("cxrnode.peers.web",),
    "requests": ("cxrnode.peers.web",),
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


def circle(root: Path) -> list[str]:
    """Rooms at the top of `root` that import each other in a circle, the first also last; none where there is none."""
    modules_of = modules(root)
    graph: dict[str, set[str]] = {}
    for module, path in modules_of.items():
        ours = {room_of(name, modules_of) for name in imports(path) if name.partition(".")[0] in PACKAGES}
        graph.setdefault(top(module), set()).update({top(name) for name in ours} - {top(module), "cxrnode"})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def top(module: str) -> str:
    """The room at the top that a module is or lies in."""
    return ".".join(module.split(".")[:2]) if module.startswith("cxrnode.") else module.partition(".")[0]


def test_every_import_runs_downwards_and_through_no_wall() -> None:
    assert list(faults(ROOT)) == []


@pytest.mark.parametrize("library", WALLS)
@pytest.mark.parametrize("indent", ["", "def late():\n    "])
def test_a_library_in_the_wrong_room_is_found(tmp_path: Path, library: str, indent: str) -> None:
    plant(tmp_path, "cxrnode/commands/show.py", f"{indent}from {library}.anything import one")

    assert [fault.partition(",")[0] for fault in faults(tmp_path)] == [f"cxrnode.commands.show imports {library}"]


@pytest.mark.parametrize("room", ["cxrnode/jobs.py", "workers/app.py"])
def test_a_library_in_its_own_room_is_welcome(tmp_path: Path, room: str) -> None:
    plant(tmp_path, room, "import celery")

    assert list(faults(tmp_path)) == []


@pytest.mark.parametrize(
    ("room", "imported"),
    [
        ("cxrnode/errors.py", "cxrnode/uids.py"),  # floor to value
        ("cxrnode/finding.py", "cxrnode/spool.py"),  # value to tool
        ("cxrnode/spool.py", "cxrnode/receive.py"),  # tool to verb
        ("cxrnode/decoding/pixels.py", "models/card.py"),  # tool to models
        ("cxrnode/receive.py", "cxrnode/deliver.py"),  # verb to verb
        ("cxrnode/analyse.py", "models/reader.py"),  # verb to models: a model is passed in
        ("cxrnode/complete.py", "workers/app.py"),  # verb to door
        ("models/card.py", "cxrnode/decoding/pixels.py"),  # models to tool
        ("models/card.py", "workers/gpu.py"),  # models to door
    ],
)
def test_an_import_that_runs_upwards_or_sideways_is_found(tmp_path: Path, room: str, imported: str) -> None:
    plant(tmp_path, imported, "")
    package, _, name = imported.removesuffix(".py").replace("/", ".").rpartition(".")
    plant(tmp_path, room, f"from {package} import {name}")

    (fault,) = faults(tmp_path)
    assert fault.startswith(f"{room.removesuffix('.py').replace('/', '.')} ")
    assert f"imports {package}.{name} " in fault


def test_no_two_rooms_import_each_other_by_whatever_way_round() -> None:
    assert circle(ROOT) == []


def test_a_circle_through_two_packages_and_a_room_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "cxrnode/receiving/doorway.py", "from cxrnode.peers import calling")
    plant(tmp_path, "cxrnode/receiving/seats.py", "")
    plant(tmp_path, "cxrnode/peers/calling.py", "def late():\n    from cxrnode import tls")
    plant(tmp_path, "cxrnode/tls.py", "import cxrnode.receiving.seats")

    first, *others = circle(tmp_path)
    assert first == others[-1]
    assert set(others) == {"cxrnode.receiving", "cxrnode.peers", "cxrnode.tls"}


def test_an_import_by_importlib_is_an_import(tmp_path: Path) -> None:
    plant(tmp_path, "cxrnode/decoding/pixels.py", 'import importlib\n\nimportlib.import_module("torch.nn")')

    assert list(faults(tmp_path)) == ["cxrnode.decoding.pixels imports torch, which lives in models"]


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
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in path.relative_to(root).parents[:-1]:
        (root / folder / "__init__.py").touch()
    path.write_text(text + "\n", encoding="utf-8")
