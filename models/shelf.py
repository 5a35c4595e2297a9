"""The models that a node's settings ask for: each network loaded once, at as many prevalences as are wanted."""

from functools import cached_property
from pathlib import Path

from cxrnode.settings import Settings
from models.card import find
from models.devices import Gpu, bound
from models.ensemble import Ensemble, load_model
from models.gate import Gate
from models.gate import load as load_gate
from models.gatecard import Mode, find_gate
from models.guarded import Guarded
from models.lungcard import find_lungs
from models.lungs import Lungs
from models.lungs import load as load_lungs
from models.reader import Reader


class Shelf:
    """Loads a model when it is first asked for; one shelf a process, as a network belongs to its process."""

    def __init__(
        self,
        zoo_dir: Path | None,
        device: str,
        threads: int,
        lungs: str = "",
        gate: Mode = "off",
        gpu: Gpu | None = None,
    ) -> None:
        """`lungs` names the segmenter that helps every model, empty for none; `gate` says what the gate does."""
        self._gate_mode = gate
        self._zoo_dir = zoo_dir
        self._lungs_name = lungs
        self._device = device
        self._threads = threads
        self._gpu = gpu
        self._loaded: dict[str, Reader | Ensemble] = {}

    def reader(self, name: str, prevalence: float | None = None) -> Reader | Ensemble | Guarded:
        """The model called `name` at a prevalence, or at its card's, behind the gate. Raises ModelMismatch."""
        if name not in self._loaded:
            folder = find(name, self._zoo_dir)
            self._loaded[name] = load_model(folder, self._device, self._threads, lungs=self._lungs, gpu=self._gpu)
        reader = self._loaded[name].at(prevalence)
        return reader if self._gate is None else Guarded(reader, self._gate, refuses=self._gate_mode == "refuse")

    @cached_property
    def _gate(self) -> Gate | None:
        folder = find_gate(self._gate_mode, self._zoo_dir)
        return None if folder is None else load_gate(folder)

    @cached_property
    def _lungs(self) -> Lungs | None:
        folder = find_lungs(self._lungs_name, self._zoo_dir)
        return None if folder is None else load_lungs(folder, self._device)


def shelf_for(settings: Settings, threads: int) -> Shelf:
    """An empty shelf as the settings want it, its GPU's memory bounded."""
    model, worker = settings.model, settings.worker
    bound(worker.gpu_memory_gb)
    gpu = Gpu(worker.gpu_batch, half=worker.gpu_precision == "half")
    return Shelf(model.zoo, worker.device, threads, lungs=model.lungs, gate=settings.rules.gate, gpu=gpu)
