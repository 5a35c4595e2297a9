"""The weights of every model that may read: each file's sha256 against its card."""

from cxrnode.headers.routing import choices
from cxrnode.settings import Settings
from models.card import find
from models.ensemblecard import card_of
from models.gatecard import check_gate
from models.lungcard import check_lungs


def weights(settings: Settings) -> str:
    """Of the models of the settings and their routes, the gate and the lung segmenter. Raises ModelMismatch."""
    found = []
    for choice in choices(settings):
        card = card_of(find(choice.model, settings.model.zoo))
        at = f" at {card.algorithm(choice.prevalence).prevalence:g} prevalence" if choice.prevalence else ""
        found.append(f"{card.name} {card.version}{at}: the weights are those on the card")
    found.append(check_gate(settings.rules.gate, settings.model.zoo))
    found.append(check_lungs(settings.model.lungs, settings.model.zoo))
    return "; ".join(found)
