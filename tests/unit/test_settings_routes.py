"""settings: the faults of routes stand in the one message, beside the others."""

from pathlib import Path

import pytest

from cxrnode.errors import SettingsError
from cxrnode.settings import load

ROUTE = '[[routes]]\nname = "kids"\nmodel = "m"\n'
PACS = '[[destinations]]\nname = "pacs"\nae_title = "A"\nhost = "h"\nport = 1\n'


def told(folder: Path, text: str) -> str:
    """The message of the fault."""
    path = folder / "node.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[routes]]\nname = "kids"\n', "routes.0.model: Field required"),
        (ROUTE + 'eval = "age > 3"\n', "routes.0.eval"),
        (ROUTE + "age_years = [5, 1]\n", "runs from 5 to 1; wanted the youngest first"),
        (ROUTE + "age_years = [5]\n", "routes.0.age_years"),
        (ROUTE + "modality = []\n", "routes.0.modality"),
        (ROUTE + "prevalence = 1.0\n", "routes.0.prevalence = 1.0"),
        (ROUTE + 'calling_ae = ["MORE THAN SIXTEEN LETTERS"]\n', "routes.0.calling_ae.0"),
        (ROUTE + ROUTE, "routes share a name: kids, kids"),
        (PACS + ROUTE + 'destinations = ["pax"]\n', "route kids: destination 'pax' is unknown; wanted one of: pacs"),
        (ROUTE + 'destinations = ["pacs"]\n', "destination 'pacs' is unknown; wanted one of: none is there"),
        (ROUTE + 'modality = ["MR"]\n', "route kids: modality 'MR' is never read; wanted one of: CR, DX"),
        (ROUTE + 'view = ["LL"]\n', "route kids: view 'LL' is never read; wanted one of: PA, AP"),
        ("[model]\nprevalence = 0\n", "model.prevalence = 0"),
    ],
)
def test_a_fault_of_a_route_is_told_by_key_value_and_what_was_wanted(tmp_path: Path, text: str, fault: str) -> None:
    assert fault in told(tmp_path, text)


def test_several_disagreements_are_counted_in_one_message(tmp_path: Path) -> None:
    message = told(tmp_path, PACS + PACS + ROUTE + 'destinations = ["x", "y"]\n' + "[queue]\nlease_s = 1\n")

    assert message.startswith("4 faults in ")
    for fault in ("'x' is unknown", "'y' is unknown", "destinations share a name: pacs, pacs", "a lease must outlive"):
        assert fault in message
