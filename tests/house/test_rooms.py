"""The list of rooms is the tree's."""

from tests.house.rooms import BEGIN, END, PAGE, caption, modules, written


def test_the_page_lists_every_room_with_the_first_line_of_its_docstring() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page.count(BEGIN) == page.count(END) == 1
    assert written(page) == page, f"{PAGE.name} is behind the tree: run `make rooms`"


def test_every_room_has_a_caption() -> None:
    assert [name for name, path in modules().items() if len(caption(path).split()) < 3] == []
