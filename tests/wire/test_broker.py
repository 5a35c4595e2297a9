"""A broker on another machine: by a password from a file, over TLS, with certificates of both sides."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrnode.errors import BrokerUnavailable, SettingsError
from cxrnode.settings.options import Queue
from tests.authority import Authority
from tests.brokers import Broker, running_broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path) as running:
        yield running


def test_it_is_spoken_to_with_the_password_of_the_file(broker: Broker) -> None:
    assert broker.waiting() == [0]


def test_another_password_is_refused_and_shown_nowhere(broker: Broker) -> None:
    (broker.folder / "password").write_text("hunter2")

    with pytest.raises(BrokerUnavailable) as refused:
        broker.waiting()
    assert "hunter2" not in str(refused.value)


def test_a_broker_of_another_authority_is_not_spoken_to(broker: Broker, tmp_path: Path) -> None:
    other = Authority(tmp_path / "elsewhere", "Other CA")

    with pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        broker.waiting(ca_file=str(other.file))


def test_an_address_alone_has_the_brokers_certificate_looked_at_too(broker: Broker) -> None:
    """Red when only a file beside it asks for that: kombu's own default takes any, and tells it the password."""
    bare = dict.fromkeys(("user", "password_file", "ca_file", "certificate_file", "key_file"), "")

    with pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        broker.waiting(broker_url=f"rediss://:hunter2@127.0.0.1:{broker.port}/0", **bare)


def test_a_broker_with_another_name_than_its_host_is_not_spoken_to(broker: Broker) -> None:
    with pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        broker.waiting(broker_url=f"rediss://localhost:{broker.port}/0")


def test_who_shows_no_certificate_is_not_spoken_with(broker: Broker) -> None:
    with pytest.raises(BrokerUnavailable):
        broker.waiting(certificate_file="", key_file="")


def test_a_password_file_that_is_gone_is_named(broker: Broker) -> None:
    with pytest.raises(SettingsError, match=r"queue\.password_file = '/nowhere'.*wanted the password alone"):
        broker.waiting(password_file="/nowhere")  # noqa: S106  a path


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"password_file": "/etc/pw"}, "password_file given; of no use without a broker_url that names a host"),
        ({"broker_url": "redis://:secret@host/0", "password_file": "/etc/pw"}, "wanted one of them"),
        ({"broker_url": "redis://host/0", "ca_file": "/etc/ca.pem"}, "wanted rediss://"),
        ({"broker_url": "rediss://host/0", "certificate_file": "/etc/n.pem"}, "wanted both or neither"),
        ({"broker_url": "rediss://host/0", "user": "cxrnode"}, "user given without password_file"),
    ],
)
def test_settings_that_do_not_go_together_are_told(given: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told) as fault:
        Queue.model_validate(given)
    assert "secret" not in fault.value.errors()[0]["msg"]  # type: ignore[attr-defined]  # pydantic's


@pytest.mark.parametrize(
    "url", ["", "redis+socket:///run/b.sock?x=1", "sentinel://a:1;sentinel://b:2", "redis://:p@h/0"]
)
def test_a_url_with_nothing_beside_it_is_taken_as_it_stands(url: str) -> None:
    assert Queue(broker_url=url).url == url
