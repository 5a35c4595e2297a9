"""The README's list of rooms is the tree's."""

from tests.house.rooms import BEGIN, END, ROOT, caption, modules, written


def test_the_readme_lists_every_room_with_the_first_line_of_its_docstring() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert readme.count(BEGIN) == readme.count(END) == 1
    assert written(readme) == readme, "README.md is behind the tree: run `make rooms`"


def test_every_room_has_a_caption() -> None:
    assert [name for name, path in modules().items() if len(caption(path).split()) < 3] == []
