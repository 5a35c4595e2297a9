"""[[receivers]]: what one does not say is [receiving]'s; each way in which two are in one another's way is a fault."""

import json
from pathlib import Path
from typing import Any

import pytest

from cxrnode.conformance.statement import as_markdown, statement
from cxrnode.errors import SettingsError
from cxrnode.settings import Settings, load
from cxrnode.up import Node

FILES = '[tls]\ncertificate_file = "n.pem"\nkey_file = "n.key"\nca_file = "ca.pem"\n'
MAIN = """
[node]
ae_title = "WARD7"
[receiving]
host = "10.0.0.1"
port = 2762
max_associations = 5
[[receiving.senders]]
ae_title = "CT1"
addresses = ["10.1.0.0/16"]
"""
SENDER = '[[receivers.senders]]\nae_title = "{}"\naddresses = ["10.2.0.0/16"]\n'


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXRNODE_CONFIG", raising=False)


def written(folder: Path, text: str) -> Settings:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_what_a_receiver_does_not_say_is_that_of_the_table_receiving(tmp_path: Path) -> None:
    settings = written(tmp_path, MAIN + '[[receivers]]\nname = "plain"\nport = 104\nprocesses = 2\n')

    main, plain = settings.listeners
    assert (main.name, main.ae_title, main.metrics_port) == ("receiving", "WARD7", 11120)
    assert (plain.name, plain.ae_title, plain.metrics_port) == ("plain", "WARD7", 0)
    assert (plain.host, plain.port, plain.processes, plain.max_associations) == ("10.0.0.1", 104, 2, 5)
    assert plain.senders == main.senders == settings.senders
    assert [one.called for one in settings.listeners] == ["receiver", "receiver plain"]


def test_what_the_environment_says_of_the_first_holds_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXRNODE_RECEIVING__MAX_ASSOCIATIONS", "7")

    settings = written(tmp_path, MAIN + '[[receivers]]\nname = "plain"\nport = 104\n')

    assert [one.max_associations for one in settings.listeners] == [7, 7]


def test_tls_is_its_own_by_the_same_files(tmp_path: Path) -> None:
    both = '[[receivers]]\nname = "plain"\nport = 104\ntls = false\n[[receivers]]\nname = "other"\nport = 105\n'
    own = '[[receivers]]\nname = "own"\nport = 106\ntls = {certificate_file = "own.pem", key_file = "own.key"}\n'

    settings = written(tmp_path, MAIN.replace("port = 2762", "port = 2762\ntls = true") + FILES + both + own)

    main, plain, other, its = (one.tls for one in settings.listeners)
    assert main and its  # noqa: PT018  which mypy is told as well
    assert (other, plain) == (main, False)
    assert (main.certificate_file, its.certificate_file, its.ca_file) == ("n.pem", "own.pem", "ca.pem")


def test_the_senders_of_all_are_asked_and_called_back(tmp_path: Path) -> None:
    """Red when `Settings.senders` is that of the table receiving alone."""
    asked = SENDER.format("PACS") + "query = true\nreturn_port = 104\nreturn_tls = true\n"

    settings = written(tmp_path, MAIN + '[[receivers]]\nname = "plain"\nport = 104\n' + asked + FILES)

    assert [one.ae_title for one in settings.senders] == ["CT1", "PACS"]
    assert settings.senders[1].return_tls
    assert [one.ae_title for one in settings.listener("plain").senders] == ["PACS"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('name = "plain"\n', "receivers.0.port: Field required"),
        ("port = 104\n", "receivers.0.name: Field required"),
        ('name = "plain"\nport = 104\nquiet_s = 5\n', "receivers.0.quiet_s = 5"),
        ('name = "Plain one"\nport = 104\n', "receivers.0.name = 'Plain one'"),
        ('name = "receiving"\nport = 104\n', "receivers receiving, receiving share a name"),
        ('name = "plain"\nport = 2762\n', "receivers receiving, plain share port 2762 of 10.0.0.1"),
        ('name = "plain"\nport = 2762\nhost = "0.0.0.0"\n', "receivers receiving, plain share port 2762"),
        ('name = "plain"\nport = 104\nmetrics_port = 11120\n', "receivers receiving, plain share metrics port 11120"),
        ('name = "plain"\nport = 104\ntls = true\n', "plain: tls = true, and certificate_file, key_file, ca_file"),
    ],
)
def test_receivers_that_cannot_be_are_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        written(tmp_path, MAIN + "[[receivers]]\n" + text)

    assert fault in str(caught.value)


NAMED = MAIN + 'tls_name = "ct1.hospital.example"\n'
SECURED = NAMED.replace("[receiving]", "[receiving]\ntls = true") + FILES
PLAIN = '[[receivers]]\nname = "plain"\nport = 11113\ntls = false\n'


@pytest.mark.parametrize(("text", "who"), [(SECURED + PLAIN, "plain"), (NAMED, "receiving")])
def test_who_is_to_show_a_certificate_is_not_let_in_without(tmp_path: Path, text: str, who: str) -> None:
    """Red when nobody looks: a plain receiver that names no senders let those of the other in by AE title alone."""
    with pytest.raises(SettingsError, match=rf"receivers {who}: CT1, .*'ct1\.hospital\.example', is let in without"):
        written(tmp_path, text)
    own = written(tmp_path, SECURED + PLAIN + SENDER.format("P"))
    assert [one.ae_title for one in own.listener("plain").senders] == ["P"]


def test_one_port_at_two_addresses_is_no_fault(tmp_path: Path) -> None:
    settings = written(tmp_path, MAIN + '[[receivers]]\nname = "plain"\nport = 2762\nhost = "10.0.0.2"\n')

    assert [one.port for one in settings.listeners] == [2762, 2762]


def test_a_receiver_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    settings = written(tmp_path, MAIN + '[[receivers]]\nname = "plain"\nport = 104\n')

    with pytest.raises(SettingsError, match="no receiver 'plane'; wanted one of receiving, plain"):
        settings.listener("plane")


def test_up_starts_one_process_for_each(tmp_path: Path) -> None:
    text = f'[node]\nstate_dir = "{tmp_path}"\n[[receivers]]\nname = "plain"\nport = 104\n'

    started = {child.name: child.command[3:] for child in Node(written(tmp_path, text)).children}

    assert started["receiver"] == ["receive"]
    assert started["receiver plain"] == ["receive", "--receiver", "plain"]


def test_the_conformance_statement_tells_each(tmp_path: Path) -> None:
    text = MAIN + '[[receivers]]\nname = "plain"\nport = 104\nae_title = "PLAIN"\n' + SENDER.format("OLD")

    told = statement(written(tmp_path, text))

    assert "| plain | PLAIN | 10.0.0.1 | 104 | no | all | 5 | 8 | `OLD` from 10.2.0.0/16 |" in as_markdown(told)
    listed: Any = json.loads(json.dumps(told.receivers))
    assert [one["port"] for one in listed] == [104]
    assert "Further receivers" not in as_markdown(statement(load()))
