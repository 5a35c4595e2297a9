"""The conformance statement: what it finds in the objects, and what the settings change in it."""

import os
import time
from collections.abc import Iterator
from functools import cache

import pytest
from pydicom import Dataset
from pydicom.uid import UID

from cxrnode.conformance.content import CONTEXT_GROUPS, in_group
from cxrnode.conformance.network import network
from cxrnode.conformance.objects import VARIED, Attribute, tables
from cxrnode.conformance.specimens import film, specimens
from cxrnode.conformance.statement import Kind, Statement, as_markdown, statement
from cxrnode.conformance.variations import bare, other, plain_case
from cxrnode.family import MADE_OF, Family
from cxrnode.finding import Outcome
from cxrnode.results.inherit import IDENTITY, OPTIONAL, SEQUENCES, TYPE_2
from cxrnode.settings import Node, Settings
from cxrnode.settings.destination import Destination

CODES_OUTSIDE = {("122157", 218)}
"""Probability is no image feature of CID 218, which may be extended."""


@cache
def of_defaults() -> Statement:
    return statement(Settings())


def kind_of(told: Statement, name: str) -> Kind:
    return next(kind for kind in told.kinds if kind.name == name)


def attribute(kind: Kind, *keywords: str) -> Attribute:
    return next(one for module in kind.modules for one in module.attributes if one.keywords == keywords)


def test_every_family_is_in_the_statement_with_the_outcomes_it_is_made_for() -> None:
    found = {kind.name: set(kind.outcomes) for kind in of_defaults().kinds}

    for family in Family:
        assert found[family] == {outcome for outcome in Outcome if family in MADE_OF[outcome]}
    assert found["withdrawal"] == {*found["report"]}


def test_the_film_has_all_that_a_result_may_take_over_and_the_other_film_has_it_otherwise() -> None:
    one = film()
    another, plain = other(one), bare(one)

    for keyword in (*IDENTITY, *TYPE_2, *OPTIONAL, *SEQUENCES, "SpecificCharacterSet", "TimezoneOffsetFromUTC"):
        assert one[keyword].value != another[keyword].value, keyword
        assert not plain.get(keyword), keyword


@pytest.mark.parametrize(
    ("kind", "keywords", "presence", "source", "value"),
    [
        ("report", ["PatientName"], "VNAP", "COPY", ""),
        ("report", ["IssuerOfPatientID"], "ANAP", "COPY", ""),
        ("report", ["IssuerOfAccessionNumberSequence"], "ANAP", "COPY", ""),
        ("report", ["VerificationFlag"], "ALWAYS", "FIXED", "UNVERIFIED"),
        ("report", ["PredecessorDocumentsSequence", "StudyInstanceUID"], "ALWAYS", "ROUND", ""),
        ("report", ["StationName"], "ALWAYS", "CONFIG", ""),
        ("report", ["ContentDate"], "ALWAYS", "TIME", ""),
        ("report", ["PerformedProcedureCodeSequence"], "EMPTY", "", ""),
        ("overlay", ["DeviceUID"], "ALWAYS", "MODEL", ""),
        ("overlay", ["SOPInstanceUID"], "ALWAYS", "AUTO", ""),
        ("overlay", ["SourceImageSequence", "ReferencedSOPInstanceUID"], "ALWAYS", "COPY", ""),
        ("overlay", ["BurnedInAnnotation"], "ALWAYS", "FIXED", "YES"),
        ("segmentation", ["NumberOfFrames"], "ALWAYS", "RESULT", ""),
        ("segmentation", ["Rows"], "ALWAYS", "COPY", ""),
    ],
)
def test_what_an_attribute_follows_from_is_found_by_changing_one_thing(
    kind: str, keywords: list[str], presence: str, source: str, value: str
) -> None:
    found = attribute(kind_of(of_defaults(), kind), *keywords)

    assert (found.presence, found.source, found.value) == (presence, source, value)


def test_an_attribute_lies_in_its_module_with_the_type_that_it_has_there() -> None:
    report = kind_of(of_defaults(), "report")
    general = next(module for module in report.modules if module.name == "SR Document General")

    assert {one.keywords: one.type for one in general.attributes}["CompletionFlag",] == "1"
    assert attribute(report, "PatientName").type == "2"


def test_every_attribute_is_one_of_the_standard_and_only_these_lie_outside_their_iod() -> None:
    assert of_defaults().private == ()
    assert list(of_defaults().beyond) == ["Ethnic Group (0010,2160)"]


def test_a_private_attribute_would_be_told() -> None:
    (report, *_) = specimens(plain_case(Settings()))
    report.dataset.private_block(0x0099, "SOMEBODY", create=True).add_new(0x01, "LO", "something")
    found = tables([report], [report], {word: [report] for word in VARIED}, film())

    assert [(one.name, one.tag) for one in found[-1].attributes if not one.type] == [
        ("Ethnic Group", "(0010,2160)"),
        ("private", "(0099,0010)"),
        ("private", "(0099,1001)"),
    ]


def test_codes_are_members_of_the_context_groups_that_are_asked_for() -> None:
    outside = {
        (row.code.value, group) for row in of_defaults().codes for group in row.groups if not in_group(row.code, group)
    }

    assert outside == CODES_OUTSIDE


def test_no_context_group_is_named_for_a_use_that_there_is_not() -> None:
    used = {use for row in of_defaults().codes for use in row.uses}

    assert set(CONTEXT_GROUPS) - used == set()


def test_codes_of_the_source_image_are_not_told_as_our_own() -> None:
    assert {"399208008", "113100", "ELSE"} & {row.code.value for row in of_defaults().codes} == set()
    assert "the source image's own or (363679005, SCT, Imaging procedure)" in as_markdown(of_defaults())


def test_the_statuses_are_judged_range_by_range() -> None:
    judged = dict(network(Settings()).judged)

    assert judged["0xA700 to 0xA7FF"] == judged["0x0110"] == judged["no answer"] == "Sent again later"
    assert judged["0xB000 to 0xBFFF"].startswith("Accepted")
    assert judged["any other"].startswith("Refused")


def test_settings_make_the_statement_that_node_s_own() -> None:
    pacs = Destination(name="pacs", ae_title="ARCHIVE", host="192.0.2.1", port=104)
    told = statement(Settings(node=Node(ae_title="READER1"), destinations=(pacs,)))
    page = as_markdown(told)

    assert "### 3.2 Application entity READER1" in page
    assert (
        "| pacs | ARCHIVE | 192.0.2.1 | 104 | if offered | report, overlay | report, overlay | report | nothing |"
        in page
    )
    assert [kind.name for kind in told.kinds] == ["report", "overlay", "withdrawal"]


def test_no_secret_of_the_settings_is_in_the_statement() -> None:
    settings = Settings.model_validate(
        {"flower": {"password": "zz-secret"}, "queue": {"broker_url": "redis://:zz-secret@h/0"}}
        | {"ledger": {"url": "postgresql://u:zz-secret@h/d"}, "node": {"state_dir": "/zz-secret"}}
    )

    assert "zz-secret" not in as_markdown(statement(settings))


@pytest.fixture
def elsewhere() -> Iterator[None]:
    """Another time zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Pacific/Auckland"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_the_statement_is_the_same_in_another_time_zone() -> None:
    assert as_markdown(statement(Settings())) == as_markdown(of_defaults())


def test_a_film_is_a_data_set_of_a_known_class() -> None:
    made: Dataset = film(rows=64, columns=64)

    assert UID(made.SOPClassUID).name == "Digital X-Ray Image Storage - For Presentation"
    assert len(made.PixelData) == 64 * 64 * 2
