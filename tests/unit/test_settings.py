"""settings: file and environment become one frozen value, or every fault in one message."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from cxrnode.errors import SettingsError
from cxrnode.receive import admits
from cxrnode.settings import Receiving, Settings, load
from cxrnode.settings.sender import Sender


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CXRNODE_")]:
        monkeypatch.delenv(name)


def written(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_file_or_environment_the_defaults_hold() -> None:
    settings = load()

    assert settings == Settings()
    assert (settings.node.ae_title, settings.receiving.port, settings.receiving.host) == ("CXRNODE", 11112, "127.0.0.1")


def test_three_mistakes_come_in_one_message_with_key_value_and_want(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [receiving]
        port = "eleven"
        [node]
        ae_title = "A TITLE THAT IS TOO LONG"
        [[destinations]]
        name = "pacs1"
        host = "127.0.0.1"
        port = 104
        """,
    )

    with pytest.raises(SettingsError) as caught:
        load(path)

    lines = str(caught.value).splitlines()
    assert lines[0] == f"3 faults in {path}:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "node.ae_title = 'A TITLE THAT IS TOO LONG'",
        "receiving.port = 'eleven'",
        "destinations.0.ae_title",
    ]
    assert "at most 16 characters" in lines[1]
    assert "valid integer" in lines[2]
    assert "required" in lines[3]


def test_an_unknown_key_is_a_fault_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"receiving\.prot = 104"):
        load(written(tmp_path, "[receiving]\nprot = 104\n"))


def test_the_environment_goes_before_the_file_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "[receiving]\nport = 104\nquiet_s = 7\n")
    monkeypatch.setenv("CXRNODE_RECEIVING__PORT", "11113")

    settings = load(path)

    assert (settings.receiving.port, settings.receiving.quiet_s) == (11113, 7.0)


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXRNODE_CONFIG", str(written(tmp_path, '[node]\nae_title = "WARD7"\n')))

    assert load().node.ae_title == "WARD7"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CXRNODE_RECEIVING__PORT", "eleven", "receiving.port = 'eleven'"),
        ("CXRNODE_RECEIVING__SENDERS", "not json", 'field "receiving".*; wanted JSON where a setting'),
        ("CXRNODE_DESTINATIONS", "{", 'field "destinations".*; wanted JSON where a setting is a list or a table'),
    ],
)
def test_a_mistake_in_the_environment_is_told_alike(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=told):
        load()


@pytest.mark.parametrize("content", [b"[node\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match=r"node\.toml: not TOML"):
        load(path)


def test_a_file_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read \(No such file or directory\)"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[queue]\nlease_s = 100\ntime_limit_s = 300\n", "a lease must outlive the longest task"),
        (
            '[[destinations]]\nname = "a"\nae_title = "A"\nhost = "::1"\nport = 104\ntimeout_s = 300.0\n',
            "timeout_s = 300 is not below queue.time_limit_s = 300",
        ),
        (
            '[[destinations]]\nname="a"\nae_title="A"\nhost="h"\nport=1\n[[destinations]]\nname="a"\nae_title="B"\nhost="h"\nport=2\n',
            "destinations share a name: a, a",
        ),
        ('[[receiving.senders]]\nae_title = "CT1"\naddresses = ["10.0.0.300"]\n', "10.0.0.300"),
        ('[[receiving.senders]]\nae_title = "CT1"\naddresses = []\n', "at least 1 item"),
        (
            '[[receiving.senders]]\nae_title = "PACS"\naddresses = ["10.0.0.3"]\nquery = true\n',
            "query = true without return_port",
        ),
        (
            '[receiving]\nlongest_wait_s=9\n[[receiving.senders]]\nae_title="P"\naddresses=["::1"]\nquery=true\nreturn_port=1\n',
            "longest_wait_s are 3, 20, 9; wanted the first below the second",
        ),
        ('[node]\nae_title = " LEADING"\n', "node.ae_title"),
        ("[worker]\nprocesses = 0\n", "worker.processes = 0"),
        ('[flower]\nurl_prefix = "flower"\n', "flower.url_prefix = 'flower'"),
        ('[flower]\nurl_prefix = "/flower/"\n', "flower.url_prefix = '/flower/'"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text))

    assert fault in str(caught.value)


def test_settings_are_frozen() -> None:
    settings = load()

    with pytest.raises(ValidationError, match="frozen"):
        settings.node.ae_title = "OTHER"  # type: ignore[misc]  # the very thing that must not work
    with pytest.raises(ValidationError, match="frozen"):
        settings.node = settings.node  # type: ignore[misc]  # likewise


@pytest.mark.parametrize(
    ("ae_title", "address", "admitted"),
    [
        ("CR1", "10.1.2.3", True),
        ("CR1", "10.1.3.3", False),
        ("CR2", "10.1.2.3", False),
        ("CR1", "127.0.0.1", True),
        ("CR1", "::1", True),
        ("CR1", "fe80::1", False),
    ],
)
def test_a_sender_is_admitted_by_title_and_address_together(ae_title: str, address: str, *, admitted: bool) -> None:
    sender = Sender(ae_title="CR1", addresses=("10.1.2.0/24", "127.0.0.1", "::1"))

    assert sender.admits(ae_title, address) is admitted


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("::ffff:10.1.2.3", True),
        ("::ffff:10.1.3.3", False),
        ("::ffff:127.0.0.1", True),
        ("2001:db8::7", True),
        ("2001:db8:0:1::7", False),
    ],
)
def test_a_sender_is_known_on_ipv6_too(address: str, *, admitted: bool) -> None:
    sender = Sender(ae_title="CR1", addresses=("10.1.2.0/24", "127.0.0.1", "2001:db8::/64"))

    assert sender.admits("CR1", address) is admitted


@pytest.mark.parametrize(
    ("address", "here"), [("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("::ffff:10.1.2.3", False)]
)
def test_without_senders_this_machine_alone_may_send(address: str, *, here: bool) -> None:
    assert admits(Receiving(), "ANY", address) is here


def test_a_sender_may_have_a_number_of_seats_of_its_own() -> None:
    senders = (
        Sender(ae_title="BUSY", addresses=("10.1.2.0/24",), max_associations=20),
        Sender(ae_title="SLOW", addresses=("10.1.2.0/24",)),
    )
    receiving = Receiving(senders=senders, max_associations_per_sender=3)

    assert [receiving.seats_of(*who) for who in (("BUSY", "10.1.2.3"), ("BUSY", "10.1.9.9"), ("SLOW", "10.1.2.3"))] == [
        20,
        3,
        3,
    ]


def test_the_result_digest_follows_what_changes_results_and_nothing_else(tmp_path: Path) -> None:
    digests = {
        text: load(written(tmp_path, text)).result_digest
        for text in (
            "",
            "[receiving]\nport = 104\n",
            "[results]\noverlay_longest_side = 512\n",
            '[rules]\nviews = ["PA"]\n',
            "[worker]\ngpu_batch = 4\ngpu_memory_gb = 8\n",
            '[worker]\ngpu_precision = "half"\n',
        )
    }

    assert digests[""] == digests["[receiving]\nport = 104\n"]
    assert digests[""] == digests["[worker]\ngpu_batch = 4\ngpu_memory_gb = 8\n"]
    assert len(set(digests.values())) == 4


def test_ledger_and_broker_stand_in_the_state_folder_unless_set(tmp_path: Path) -> None:
    settings = load(written(tmp_path, '[node]\nstate_dir = "/srv/state"\n[queue]\nbroker_url = "redis://broker/0"\n'))

    assert settings.ledger_url == "sqlite:////srv/state/ledger.sqlite"
    assert settings.broker_url == "redis://broker/0"
    assert Settings(node=settings.node).broker_url == "redis+socket:///srv/state/run/broker.sock"


@pytest.mark.parametrize(
    "line", ['ledger = "postgresql://u:zz-secret@h/d"', '[ledger]\nurI = "postgresql://u:zz@zz-secret@h/d"']
)
def test_a_fault_shows_no_password_of_a_url(tmp_path: Path, line: str) -> None:
    """Red without `re.sub` in faults.py."""
    with pytest.raises(SettingsError, match=r"postgresql://\*\*\*@h/d") as raised:
        load(written(tmp_path, line))
    assert "zz-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[flower]\npassword = "zz-secret"\npassword_file = "f"', "flower: Value error, password and password_file"),
        ('[flower]\npasword = "zz-secret"', r"flower\.pasword = \*\*\*: Extra inputs"),
        ('[ledger]\npasswd = "zz-secret"', r"ledger\.passwd = \*\*\*: Extra inputs"),
        ("[queue]\npassword_file = 7", r"queue\.password_file = 7: "),
    ],
)
def test_a_fault_shows_no_password_of_a_table_nor_of_a_key_that_is_misspelt(
    tmp_path: Path, text: str, told: str
) -> None:
    """Red when a table is shown as a whole: with a password and its file, the password stood in the log."""
    with pytest.raises(SettingsError, match=told) as raised:
        load(written(tmp_path, text))
    assert "zz-secret" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        '[audit]\nsyslog = "udp"\nhost = "logs..example"',
        '[[destinations]]\nname = "p"\nae_title = "P"\nport = 104\nhost = ".pacs"',
        f'[[archives]]\nname = "p"\nretrieve = "get"\nae_title = "P"\nport = 104\nhost = "{"x" * 64}"',
    ],
)
def test_a_host_that_cannot_be_looked_up_is_told(tmp_path: Path, text: str) -> None:
    """Red without `Host`: `cxrnode check` ended with a traceback, and the audit trail waited without a word."""
    with pytest.raises(SettingsError, match=r"host = '.*is no host's name; wanted pacs\.hospital"):
        load(written(tmp_path, text))
