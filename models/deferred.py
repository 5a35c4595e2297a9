"""What a library imports and we never call waits for its first use; whoever uses it gets it, only later.

Python 3.15 has this in the language (PEP 810, lazy imports).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Inside, `from NAME import thing` of these modules gives a thing that fetches itself when it is first used.

    What is loaded already stays as it is, and afterwards an import is an import again. For a process that has one
    thread yet. What a module that is missing raises comes at the first use.
    """
    waiting = {name: _Waiting(name) for name in names if name not in sys.modules}
    sys.modules.update(waiting)
    try:
        yield
    finally:
        for name, module in waiting.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _Waiting(ModuleType):
    """Stands in a module's place while another library is imported."""

    def __getattr__(self, name: str) -> "_Later":
        if name.startswith("__"):  # what the machinery of imports asks of every module
            raise AttributeError(name)
        return _Later(self.__name__, name)


class _Later:
    """A name of a module: called, asked for a name of its own, or made a class's base, it is the thing itself."""

    def __init__(self, module: str, name: str) -> None:
        self._place = (module, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return _fetched(*self._place)(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(_fetched(*self._place), name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, _fetched(*self._place))

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, _fetched(*self._place))

    def __mro_entries__(self, _bases: tuple[object, ...]) -> tuple[Any, ...]:
        return (_fetched(*self._place),)


def _fetched(module: str, name: str) -> Any:
    """The thing itself, its module imported now; a module of that name in a package counts, as in an import."""
    package = module.partition(".")[0]
    for other, there in list(sys.modules.items()):  # none waits, unless a library uses it while it is being imported
        if isinstance(there, _Waiting) and other.partition(".")[0] == package:
            del sys.modules[other]
    home = import_module(module)
    return getattr(home, name) if hasattr(home, name) else import_module(f"{module}.{name}")
