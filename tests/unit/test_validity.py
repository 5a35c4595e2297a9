"""Every list of revoked certificates is looked at; and files are read anew when they change, not when others do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxrnode.errors import SettingsError
from cxrnode.receiving.porch import stamps
from cxrnode.validity import looked_at
from tests.authority import Authority

NOW = datetime.now(UTC)


def test_of_several_lists_each_is_looked_at(tmp_path: Path) -> None:
    """Red when the first of a file alone is read: whom the second is about is let in no more, and nobody is told."""
    authority = Authority(tmp_path)
    crl = authority.revoke(days=30)
    crl.write_bytes(crl.read_bytes() + Authority(tmp_path / "other", "Other CA").revoke(days=3).read_bytes())
    ours = authority.certificates("node.example").model_copy(update={"crl_file": str(crl)})

    assert "good until" in looked_at(ours, NOW)
    with pytest.raises(SettingsError, match=r"crl\.pem: its time ended on .*, and nobody is trusted since"):
        looked_at(ours, NOW + timedelta(days=4))


def test_files_that_are_not_named_do_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when an empty name is looked at: that is the working folder, and each new file in it had all read anew."""
    ours = Authority(tmp_path / "ca").certificates("node.example")
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    before = stamps(ours)
    (work / "something").write_text("else")

    assert stamps(ours) == before
