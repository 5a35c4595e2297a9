"""No file is more than a sitting, no function more than a screen."""

import ast
from pathlib import Path

import pytest

from tests.house.rooms import ROOT, modules

MODULE_LINES, FUNCTION_LINES = 300, 60
FILES = [*modules().values(), *(ROOT / ".ci").glob("*.py")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_and_its_functions_can_be_read_in_one_go(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text.count("\n") <= MODULE_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in functions}
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES} == {}
