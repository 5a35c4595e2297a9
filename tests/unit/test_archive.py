"""An archive in the settings: a PACS by AE title or by DICOMweb, and every way to write it wrongly."""

import os
from pathlib import Path

import pytest

from cxrnode.errors import SettingsError
from cxrnode.settings import load
from cxrnode.settings.archive import Archive

MOVE = 'name = "pacs"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = 104\n'
WEB = 'name = "web"\nretrieve = "web"\n'


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CXRNODE_")]:
        monkeypatch.delenv(name)


def archives(folder: Path, *tables: str) -> tuple[Archive, ...]:
    path = folder / "node.toml"
    path.write_text("".join(f"[[archives]]\n{table}\n" for table in tables), encoding="utf-8")
    return load(path).archives


def test_a_pacs_by_ae_title_and_one_by_address_are_read(tmp_path: Path) -> None:
    moved, web = archives(tmp_path, MOVE, WEB + 'url = "https://pacs.example/dicom-web/"')

    assert (moved.retrieve, moved.timeout_s) == ("move", 60.0)
    assert (moved.peer.ae_title, moved.peer.host, moved.peer.port, moved.peer.timeout_s) == (
        *("ARCHIVE", "127.0.0.1", 104),
        60.0,
    )
    assert (moved.where, web.where) == ("pacs (ARCHIVE at 127.0.0.1:104)", "web (https://pacs.example/dicom-web)")


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (MOVE + 'retrieve = "ftp"', "retrieve = 'ftp': Input should be 'move', 'get' or 'web'"),
        ('name = "pacs"\nhost = "127.0.0.1"', 'ae_title, port absent; wanted with retrieve = "move"'),
        (MOVE + 'url = "https://pacs.example"', 'url given; of no use with retrieve = "move"'),
        (MOVE + 'user = "me"\npassword_file = "p"', "user, password_file given; of no use"),
        (WEB, 'url absent; wanted with retrieve = "web"'),
        (WEB + 'url = "https://pacs.example"\nport = 104', 'port given; of no use with retrieve = "web"'),
        (WEB + 'url = "ftp://pacs.example"', "is no web address"),
        (WEB + 'url = "pacs.example/dicom-web"', "is no web address"),
        (WEB + 'url = "https://pacs.example:port"', "is no address"),
        (WEB + 'url = "https://[pacs.example"', "is no address"),
        (WEB + 'url = "https://pacs.example?token=1"', "has more than a path"),
        (WEB + 'url = "http://pacs.example/dicom-web"', "clear text; wanted https, or plain_http = true"),
        (WEB + 'url = "https://pacs.example"\nuser = "me"', "user and password_file go together"),
        (MOVE + "timeout_s = 0", "timeout_s = 0: Input should be greater than 0"),
    ],
)
def test_one_that_cannot_be_asked_is_refused_with_what_was_wanted(tmp_path: Path, table: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        archives(tmp_path, table)

    assert fault in str(caught.value)


def test_a_password_in_the_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has a user or a password in it") as caught:
        archives(tmp_path, WEB + 'url = "https://me:hunter2@pacs.example/dicom-web"')

    assert "hunter2" not in str(caught.value)


def test_a_password_in_the_settings_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"password = \*\*\*: Extra inputs") as caught:
        archives(tmp_path, WEB + 'url = "https://pacs.example"\npassword = "hunter2"')

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_clear_text_within_this_machine_is_no_fault(tmp_path: Path, host: str) -> None:
    (archive,) = archives(tmp_path, WEB + f'url = "http://{host}:8042/dicom-web"')

    assert archive.url == f"http://{host}:8042/dicom-web"


def test_clear_text_is_sent_where_the_settings_say_so(tmp_path: Path) -> None:
    (archive,) = archives(tmp_path, WEB + 'url = "http://pacs.example"\nplain_http = true')

    assert archive.plain_http


def test_two_archives_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="archives share a name: pacs, pacs; wanted one name each"):
        archives(tmp_path, MOVE, MOVE)
