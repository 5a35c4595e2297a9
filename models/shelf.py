"""The models that a node's settings ask for: each network loaded once, at as many prevalences as are wanted."""

from pathlib import Path

from models.card import find
from models.reader import Reader, load


class Shelf:
    """Loads a model when it is first asked for; one shelf a process, as a network belongs to its process."""

    def __init__(self, zoo_dir: Path | None, device: str, threads: int) -> None:
        self._zoo_dir = zoo_dir
        self._device = device
        self._threads = threads
        self._loaded: dict[str, Reader] = {}

    def reader(self, name: str, prevalence: float | None = None) -> Reader:
        """The model called `name` at a prevalence, or at its card's. Raises ModelMismatch."""
        if name not in self._loaded:
            self._loaded[name] = load(find(name, self._zoo_dir), self._device, self._threads)
        return self._loaded[name].at(prevalence)
