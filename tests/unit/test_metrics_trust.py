"""Certificates and audit trail as Prometheus sees them: what would let nobody in, or be told to nobody, is seen."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxrnode.errors import AuditUnavailable, SettingsError
from cxrnode.metrics.trust import of_audit, of_certificates
from cxrnode.settings import Node, Receiving, Settings
from cxrnode.settings.certificates import Certificates
from cxrnode.settings.collector import Audit
from cxrnode.settings.destination import Destination
from tests.authority import DAY, Authority
from tests.disks import fill, small_disk

NOW = datetime.now(UTC)
END, LIST_END = "cxrnode_certificate_end_timestamp_seconds", "cxrnode_crl_end_timestamp_seconds"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def told(receiving: Certificates, *destinations: Destination) -> dict[tuple[str, str], datetime]:
    """The moments by figure and file."""
    settings = Settings(receiving=Receiving(tls=receiving), destinations=destinations)
    return {
        (family.name, one.labels["file"]): datetime.fromtimestamp(one.value, UTC)
        for family in of_certificates(settings, NOW)
        for one in family.samples
    }


def test_of_two_files_of_one_name_the_one_that_ends_first_is_told(authority: Authority, tmp_path: Path) -> None:
    """Red when the files' names alone are the key: whichever came last hid the other."""
    good = authority.certificates("node.example")
    for folder, days in (("a", 5), ("z", 500)):
        soon = Authority(tmp_path / folder / "ca").certificates("node.example", days=days)
        pacs = Destination(name="pacs", ae_title="P", host="p", port=1, tls=soon)
        assert told(good, pacs)[END, "node.example.pem"] - NOW < min(days, 365) * DAY


def test_a_certificate_between_that_ends_first_is_told_and_so_is_the_authoritys(
    authority: Authority, tmp_path: Path
) -> None:
    ours = authority.certificates("node.example")
    between = Authority(tmp_path / "between", "Issuing CA").signed("issuing.example", days=9)
    Path(ours.certificate_file).write_bytes(Path(ours.certificate_file).read_bytes() + between.certificate.read_bytes())

    ends = told(ours)

    assert 7 * DAY < ends[END, "node.example.pem"] - NOW < 9 * DAY
    assert ends[END, "ca.pem"] - NOW > 3000 * DAY


def test_the_list_of_what_was_revoked_is_told_with_its_end(authority: Authority, tmp_path: Path) -> None:
    """Of several authorities the first that ends: those whose list it is are let in no more."""
    crl = authority.revoke(days=30)
    other = Authority(tmp_path / "other", "Other CA").revoke(days=2)
    crl.write_bytes(crl.read_bytes() + other.read_bytes())
    ours = authority.certificates("node.example").model_copy(update={"crl_file": str(crl)})

    assert timedelta(days=1) < told(ours)[LIST_END, "crl.pem"] - NOW < timedelta(days=3)


def test_a_new_certificate_with_the_old_key_is_told(authority: Authority) -> None:
    """Red when the certificate alone is read: the receiver goes on with the old one, which ends, and nobody knows."""
    ours = authority.certificates("node.example")
    renewed = authority.signed("node.example", days=700, file="renewed")
    Path(ours.certificate_file).write_bytes(renewed.certificate.read_bytes())

    with pytest.raises(SettingsError, match="KEY_VALUES_MISMATCH"):
        told(ours)


def test_a_trail_that_cannot_be_written_is_told_though_nobody_collects_it(tmp_path: Path) -> None:
    """Red when only the collector is looked at: the node works on, and what happens is in no trail."""
    settings = Settings(node=Node(state_dir=tmp_path))
    of_audit(settings, NOW)
    assert not (tmp_path / "audit").exists(), "nothing is made by looking"

    (tmp_path / "audit").write_text("in the way")
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        of_audit(settings, NOW)


def test_a_trail_on_a_disk_without_room_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        settings = Settings(node=Node(state_dir=tmp_path), audit=Audit(folder=str(disk / "audit")))
        of_audit(settings, NOW)
        fill(disk, 0)
        with pytest.raises(AuditUnavailable, match="no room"):
            of_audit(settings, NOW)
