"""Certificates in the settings: `tls = true` is the table [tls], and `check` looks at the files beforehand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tomli_w

from cxrnode.check.looking import Result, look_at, looks
from cxrnode.errors import SettingsError
from cxrnode.serving.entrance import Entrance
from cxrnode.settings import Settings, load
from cxrnode.settings.certificates import Certificates
from cxrnode.validity import ends, looked_at
from tests.authority import Authority

PACS = {"name": "pacs", "ae_title": "PACS", "host": "10.1.3.4", "port": 2762}
SENDER = {"ae_title": "DXROOM1", "addresses": ["10.1.2.0/24"], "return_port": 2762}
NOW = datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def ours(authority: Authority) -> Certificates:
    return authority.certificates("node.example")


def loaded(folder: Path, **tables: object) -> Settings:
    path = folder / "node.toml"
    path.write_text(tomli_w.dumps(tables), encoding="utf-8")
    return load(path)


def test_true_is_the_table_wherever_it_stands(tmp_path: Path, ours: Certificates) -> None:
    settings = loaded(
        tmp_path,
        tls=ours.model_dump(),
        receiving={"tls": True, "senders": [SENDER | {"return_tls": True, "tls_name": "dxroom1.example"}]},
        destinations=[PACS | {"tls": True}, PACS | {"name": "plain"}],
        archives=[PACS | {"tls": True, "tls_name": "pacs.example"}],
    )

    (sender,), (secured, plain), (archive,) = settings.receiving.senders, settings.destinations, settings.archives
    assert [settings.receiving.tls, sender.return_tls, secured.tls, archive.peer.tls] == [ours] * 4
    assert plain.tls is False
    assert (sender.source("10.1.2.3").tls, sender.source("10.1.2.3").tls_name) == (ours, "dxroom1.example")
    assert archive.peer.tls_name == "pacs.example"


def test_a_result_goes_back_over_tls_where_its_sender_says_so(tmp_path: Path, ours: Certificates) -> None:
    settings = loaded(
        tmp_path,
        tls=ours.model_dump(),
        receiving={"senders": [SENDER | {"return_tls": True}]},
        destinations=[{"name": "back", "return_to_sender": True}],
    )

    back = settings.destinations[0].at(settings.receiving.senders[0].source("10.1.2.3"))
    assert (back.name, back.host, back.port, back.tls) == ("back", "10.1.2.3", 2762, ours)


def test_a_peer_may_differ_from_the_table_in_part(tmp_path: Path, ours: Certificates) -> None:
    settings = loaded(tmp_path, tls=ours.model_dump(), destinations=[PACS | {"tls": {"ca_file": "/elsewhere.pem"}}])

    assert settings.destinations[0].tls == ours.model_copy(update={"ca_file": "/elsewhere.pem"})


def test_the_files_may_be_named_by_the_environment(
    tmp_path: Path, ours: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ours.model_dump(exclude={"handshake_timeout_s", "key_password_file"}).items():
        monkeypatch.setenv(f"CXRNODE_TLS__{name.upper()}", value)
    monkeypatch.setenv("CXRNODE_RECEIVING__TLS", "true")

    assert loaded(tmp_path).receiving.tls == ours


@pytest.mark.parametrize(
    "tables",
    [
        {"receiving": {"tls": True}},
        {"receiving": {"senders": [SENDER | {"return_tls": True}]}},
        {"destinations": [PACS | {"tls": True}]},
        {"archives": [PACS | {"tls": True}]},
    ],
)
def test_tls_without_files_is_a_fault_that_names_them(tmp_path: Path, tables: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"tls = true, and certificate_file, key_file, ca_file is not named"):
        loaded(tmp_path, **tables)


def test_a_table_of_addresses_that_is_no_network_is_told_which_one_it_is_in(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"10\.1\.2\.3/24 has host bits set; wanted 10\.1\.2\.0/24"):
        loaded(tmp_path, receiving={"senders": [SENDER | {"addresses": ["10.1.2.3/24"]}]})


def test_a_good_certificate_is_told_with_its_end(ours: Certificates) -> None:
    assert "its key match" in looked_at(ours, NOW)
    assert f"good until {ends(Path(ours.certificate_file)):%Y-%m-%d}, for 36" in looked_at(ours, NOW)


@pytest.mark.parametrize(("days", "told"), [(365, "ended on"), (345, "ends on .*, in 1[89] days; wanted a new one")])
def test_a_certificate_that_has_ended_or_soon_will_is_wrong(ours: Certificates, days: int, told: str) -> None:
    with pytest.raises(SettingsError, match=rf"node\.example\.pem: CN=node\.example {told}"):
        looked_at(ours, NOW + timedelta(days=days))


def test_a_list_of_what_was_revoked_that_is_too_old_is_wrong(ours: Certificates, authority: Authority) -> None:
    listed = ours.model_copy(update={"crl_file": str(authority.revoke(days=3))})

    assert "good until" in looked_at(listed, NOW)
    with pytest.raises(SettingsError, match=r"crl\.pem: its time ended on .*, and nobody is trusted since"):
        looked_at(listed, NOW + timedelta(days=4))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_wrong(ours: Certificates, mode: int) -> None:
    Path(ours.key_file).chmod(mode)

    with pytest.raises(SettingsError, match=rf"node\.example\.key: mode {mode:04o} lets others in; wanted 0600"):
        looked_at(ours, NOW)


def test_a_key_of_another_certificate_is_wrong(ours: Certificates, authority: Authority) -> None:
    other = authority.signed("other.example")
    mixed = ours.model_copy(update={"key_file": str(other.key)})

    with pytest.raises(SettingsError, match=r"key_file = .*other\.example\.key.*KEY_VALUES_MISMATCH"):
        looked_at(mixed, NOW)


@pytest.mark.parametrize("name", ["certificate_file", "key_file", "ca_file"])
@pytest.mark.parametrize("content", [None, b"", b"no PEM"])
def test_a_file_that_is_not_there_or_no_pem_is_named(ours: Certificates, name: str, content: bytes | None) -> None:
    file = Path(getattr(ours, name))
    file.unlink() if content is None else file.write_bytes(content)

    with pytest.raises(SettingsError, match=rf"{name} = .*{file.name}.*wanted"):
        looked_at(ours, NOW)


def test_check_looks_at_each_certificate_once(tmp_path: Path, ours: Certificates) -> None:
    settings = loaded(
        tmp_path,
        tls=ours.model_dump(),
        receiving={"tls": True},
        destinations=[PACS | {"tls": True, "host": "127.0.0.1"}],
    )

    assert [(one.what, one.well) for one in shown(settings)] == [("certificate node.example.pem", True)]
    Path(ours.key_file).chmod(0o644)
    assert [(one.what, one.well) for one in shown(settings)] == [("certificate node.example.pem", False)]


def test_a_receiver_with_files_that_are_wrong_does_not_start(tmp_path: Path, ours: Certificates) -> None:
    Path(ours.ca_file).unlink()
    node = {"state_dir": str(tmp_path / "state")}
    settings = loaded(tmp_path, node=node, tls=ours.model_dump(), receiving={"tls": True})

    with pytest.raises(SettingsError, match=r"ca_file = .*ca\.pem.*No such file"):
        Entrance(settings, *settings.listeners)


def test_check_tells_whose_files_are_open_to_others(tmp_path: Path) -> None:
    state, secret = tmp_path / "state", tmp_path / "secret"
    state.mkdir(mode=0o700)
    secret.write_text("hunter2")
    settings = loaded(tmp_path, node={"state_dir": str(state)}, flower={"password_file": str(secret)})
    ((what, look),) = (one for one in looks(settings) if one[0] == "permissions")

    secret.chmod(0o600)
    assert look_at(what, look).well
    secret.chmod(0o604)
    (state / "spool").mkdir(mode=0o750)
    told = look_at(what, look).told
    assert f"{state / 'spool'}: mode 0750 lets others in; wanted 0700" in told
    assert f"{secret}: mode 0604 lets others in; wanted 0600" in told


def shown(settings: Settings) -> list[Result]:
    return [look_at(what, look) for what, look in looks(settings) if what.startswith("certificate")]
