"""uids: valid, the same for the same content, and another for any other content."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from cxrnode.uids import Role, RoundIdentity, digest_of, uid_from

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
IDENTITY = RoundIdentity("node", "1.2.3", 1, ("a", "b"), "card", "0.1.0", "settings", "2026-01-02T03:04:05+00:00")
OTHERS: dict[str, object] = {
    "node": "node2",
    "study_instance_uid": "1.2.34",
    "round_number": 2,
    "sources": ("a", "b", "c"),
    "card": "card2",
    "software": "0.1.1",
    "settings": "settings2",
    "started_at": "2026-01-02T03:04:06+00:00",
}


@given(JSON)
def test_any_content_gives_a_valid_uid(content: object) -> None:
    uid = UID(uid_from(content))

    assert uid.is_valid
    assert len(uid) <= 64
    assert uid.startswith("2.25.")


@given(JSON, JSON)
def test_two_contents_never_share_a_uid(one: object, other: object) -> None:
    assert (uid_from(one) == uid_from(other)) == (digest_of(one) == digest_of(other))


@given(st.integers())
def test_the_number_is_a_version_8_uuid_of_the_ietf_variant(content: int) -> None:
    number = int(uid_from(content).removeprefix("2.25."))

    assert (number >> 76) & 0xF == 8
    assert (number >> 62) & 0b11 == 0b10


def test_the_same_content_gives_the_same_uid_on_every_machine() -> None:
    assert uid_from({"b": 1, "a": ["ü"]}) == uid_from({"a": ["ü"], "b": 1})
    assert digest_of({"a": ["ü"], "b": 1}) == "301a67f8beb6e34fb1484fd9ff28b53c358414b8ab816d24eecf02b9f9fd90f8"


def test_every_part_of_a_round_changes_every_uid() -> None:
    assert OTHERS.keys() == {field.name for field in fields(RoundIdentity)}


@pytest.mark.parametrize("part", OTHERS)
def test_a_round_that_differs_in_one_part_shares_no_uid(part: str) -> None:
    other = replace(IDENTITY, **{part: OTHERS[part]})

    for role in Role:
        assert IDENTITY.uid(role) != other.uid(role)


def test_roles_and_parts_tell_the_uids_of_one_round_apart() -> None:
    uids = {IDENTITY.uid(role, part) for role in Role for part in ("", "1.2.3.4", "1.2.3.5")}

    assert len(uids) == 3 * len(Role)
    assert all(UID(uid).is_valid for uid in uids)
