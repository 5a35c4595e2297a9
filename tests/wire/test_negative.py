"""UIDs and AE titles that are paths, commands or SQL: the receiver answers, and writes nowhere but in its spool."""

import re
from pathlib import Path

import pytest

from cxrnode.commands.samples import free_ports
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver
from cxrnode.settings import Receiving
from cxrnode.spool import Spool
from tests.builders import make_cxr
from tests.fuzz import pdus

NAMES = re.compile(r"[0-9a-f]{2,64}(-[0-9a-f]+)?|image\.dcm|receipt\.json|[a-z-]+")
"""of whatever the spool makes: keys, and words of its own"""
ATTACKS = [
    "../../attacked",
    "/attacked",
    "1.2/../../../attacked",
    "$(touch attacked)",
    "';DROP TABLE a--",
    "1.2\0/../3",
]


class Bench:
    """A receiver whose spool is two folders deep."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_ports(1)[0]
        self.receipts: list[Receipt] = []
        spool = Spool(root / "deep" / "spool", 0)
        self.receiver = Receiver("CXRNODE", Receiving(port=self.port, reserve_gb=0), spool, self.receipts.append)

    def store(self, calling: str, **attributes: str) -> list[int]:
        """The statuses of a C-STORE of a film with these attributes."""
        film = make_cxr()
        for keyword, value in attributes.items():
            film[keyword]._value = value
        with pdus.Peer(self.port) as peer:
            assert peer.ask(pdus.associate(calling))[0] == pdus.ASSOCIATE_AC
            return pdus.statuses([peer.ask(pdus.store(film))])

    def strange(self) -> list[Path]:
        """Files and folders that the spool does not make."""
        found = self.root.rglob("*")
        return [path for path in found if "attacked" in path.name or not NAMES.fullmatch(path.name)]


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_uid_that_is_none_leads_nowhere(bench: Bench, keyword: str, attack: str) -> None:
    statuses = bench.store("MODALITY", **{keyword: attack})

    assert statuses != [0] or keyword != "SOPInstanceUID", "the UID that a folder's name is made of"
    assert bench.store("MODALITY") == [0]
    assert bench.strange() == []
    assert not Path("attacked").exists()
    assert not Path("/attacked").exists()


@pytest.mark.parametrize("calling", ["../../attacked", "$(touch x)", "';DROP TABLE a--", "%s%n{0}"])
def test_an_ae_title_is_a_name_and_nothing_else(bench: Bench, calling: str) -> None:
    assert bench.store(calling) == [0]
    assert bench.receipts[-1].calling_ae == calling
    assert bench.strange() == []
