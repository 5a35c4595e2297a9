"""The rooms of the house: every module, its layer and its caption; `make rooms` lists them in CONTRIBUTING.md."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("cxrnode", "workers", "models")
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms -->\n", "<!-- /rooms -->"

LAYERS = {  # rooms of cxrnode; whatever lies in workers is a door, whatever lies in models is of its own layer
    "doors": ("cli", "up", "commands", "serving", "check", "conformance", "compare", "backfill", "backup"),
    "verbs": ("receive", "complete", "analyse", "deliver", "retention", "replay"),
    "tools": (
        *("receiving", "spool", "draft", "headers", "decoding", "regions", "late", "results", "render"),
        *("ledger", "commitment", "dimse", "jobs", "broker", "peers", "tls", "validity", "plans", "metrics"),
        "audit",
    ),
    "values": (
        *("study", "receipt", "radiograph", "finding", "family", "uids", "settings", "stability", "log"),
        "stopwatch",
    ),
    "floor": ("errors", "faults", "faultpoints", "counted", "whole", "table", "ahead", "unswept"),
}


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the three packages by its import name, packages by their own."""
    files = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def layer(module: str) -> str:
    """The layer of a module; raises KeyError for a room of cxrnode that has none."""
    package, _, rest = module.partition(".")
    if package == "workers":
        return "doors"
    if package == "models":
        return "models"
    room = rest.partition(".")[0]
    layers = {name: layer for layer, names in LAYERS.items() for name in names}
    return layers[room] if room else "floor"


def caption(path: Path) -> str:
    """The first line of a module's docstring, empty when there is none."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def listing() -> str:
    """The list of rooms, as Markdown: the rooms of cxrnode by layer, the others by name."""
    known = modules()
    lines: list[str] = []
    for package in PACKAGES:
        lines += [f"**{package}/** {caption(known[package])}", "", "| room | what it is |", "| --- | --- |"]
        previous = None
        for name in sorted((name for name in known if name.startswith(f"{package}.")), key=_place):
            if package == "cxrnode" and layer(name) != previous:
                previous = layer(name)
                lines.append(f"| *{previous}* | |")
            file = known[name].relative_to(ROOT)
            room = file.parent if file.name == "__init__.py" else file
            lines.append(f"| [{room.relative_to(package)}]({room}) | {caption(known[name])} |")
        lines.append("")
    return "\n".join(lines)


def _place(module: str) -> tuple[int, int, str]:
    if not module.startswith("cxrnode."):
        return (0, 0, module)
    names = LAYERS[layer(module)]
    return (list(LAYERS).index(layer(module)), names.index(module.split(".")[1]), module)


def written(page: str) -> str:
    """The page's text with the list of rooms as it is now."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{listing()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
