"""The models that a node's settings ask for: each network loaded once, at as many prevalences as are wanted."""

from functools import cached_property
from pathlib import Path

from models.card import find
from models.gate import Gate
from models.gate import load as load_gate
from models.gatecard import Mode, find_gate
from models.guarded import Guarded
from models.reader import Reader, load


class Shelf:
    """Loads a model when it is first asked for; one shelf a process, as a network belongs to its process."""

    def __init__(self, zoo_dir: Path | None, device: str, threads: int, gate: Mode = "off") -> None:
        """`gate` says what the gate does."""
        self._gate_mode = gate
        self._zoo_dir = zoo_dir
        self._device = device
        self._threads = threads
        self._loaded: dict[str, Reader] = {}

    def reader(self, name: str, prevalence: float | None = None) -> Reader | Guarded:
        """The model called `name` at a prevalence, or at its card's, behind the gate. Raises ModelMismatch."""
        if name not in self._loaded:
            self._loaded[name] = load(find(name, self._zoo_dir), self._device, self._threads)
        reader = self._loaded[name].at(prevalence)
        return reader if self._gate is None else Guarded(reader, self._gate, refuses=self._gate_mode == "refuse")

    @cached_property
    def _gate(self) -> Gate | None:
        folder = find_gate(self._gate_mode, self._zoo_dir)
        return None if folder is None else load_gate(folder)
