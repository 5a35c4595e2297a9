"""What the standard puts into an object: the modules of its IOD with their attributes, as highdicom lists them."""

from dataclasses import dataclass

# Tables that highdicom makes from PS3.3's own XML, and keeps to itself: the statement's tests look into them.
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map

ACRONYMS = ("sr", "sc", "sop", "lut", "voi")
Keywords = tuple[str, ...]
"""the keywords of the sequences that an attribute lies in, and its own"""


@dataclass(frozen=True)
class Module:
    """One module of an IOD; `usage` is M, C or U, and `types` the type (1, 1C, 2, 2C, 3) of each attribute."""

    name: str
    entity: str
    usage: str
    types: dict[Keywords, str]


def modules(sop_class_uid: str) -> list[Module]:
    """The modules of a SOP Class's IOD, in its order. Raises KeyError for a SOP Class that has none."""
    attributes = get_module_attribute_map()
    return [
        Module(
            name=" ".join(word.upper() if word in ACRONYMS else word.title() for word in module["key"].split("-")),
            entity=module["ie"],
            usage=module["usage"],
            types={(*one["path"], one["keyword"]): one["type"] for one in attributes[module["key"]]},
        )
        for module in get_iod_module_map()[get_sop_class_iod_map()[sop_class_uid]]
    ]
