"""How a model answers in a node, from the cards alone: what results will say of it, without loading any weights."""

from pathlib import Path

from cxrnode.finding import Algorithm
from models.algorithm import beside, shifted
from models.card import find
from models.ensemblecard import card_of
from models.gatecard import Mode, find_gate, load_gate_card
from models.lungcard import find_lungs, load_lung_card


def served(name: str, prevalence: float | None, *, zoo_dir: Path | None, lungs: str, gate: Mode) -> Algorithm:
    """The algorithm of `models.shelf.Shelf.reader` of the same arguments. Raises ModelMismatch."""
    algorithm = card_of(find(name, zoo_dir)).algorithm(None)
    if (folder := find_lungs(lungs, zoo_dir)) is not None:
        algorithm = beside(algorithm, {"lungs": load_lung_card(folder).digest})
    if prevalence is not None:
        algorithm = shifted(algorithm, prevalence)
    if (folder := find_gate(gate, zoo_dir)) is not None:
        algorithm = beside(algorithm, {"gate": load_gate_card(folder).digest})
    return algorithm
