"""The conformance statement held to the truth: what it lists is what associations are given, and nothing else."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association

from cxrnode.commands.samples import free_ports
from cxrnode.conformance.network import network
from cxrnode.conformance.specimens import specimens
from cxrnode.conformance.statement import conformance
from cxrnode.conformance.variations import plain_case
from cxrnode.deliver import echo, not_taken, offers_commitment, send
from cxrnode.errors import PeerRefused
from cxrnode.peers.retrieve import get, move
from cxrnode.receive import Receiver
from cxrnode.settings import Receiving, Settings
from cxrnode.settings.archive import Archive
from cxrnode.settings.destination import Destination
from cxrnode.spool import Spool
from tests.fakes import served

VERIFICATION, STORAGE_COMMITMENT = "1.2.840.10008.1.1", "1.2.840.10008.1.20.1"
CT, CR, DX = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
NOT_OFFERED = {
    "C-FIND, study root": "1.2.840.10008.5.1.4.1.2.2.1",
    "C-MOVE, study root": "1.2.840.10008.5.1.4.1.2.2.2",
    "C-GET, study root": "1.2.840.10008.5.1.4.1.2.2.3",
    "C-FIND, patient root": "1.2.840.10008.5.1.4.1.2.1.1",
    "C-MOVE, patient root": "1.2.840.10008.5.1.4.1.2.1.2",
    "C-GET, patient root": "1.2.840.10008.5.1.4.1.2.1.3",
    "modality worklist": "1.2.840.10008.5.1.4.31",
    "performed procedure step": "1.2.840.10008.3.1.2.3.3",
    "storage commitment": STORAGE_COMMITMENT,
    "unified procedure step": "1.2.840.10008.5.1.4.34.6.1",
    "print": "1.2.840.10008.5.1.1.9",
    "a made-up class": "1.2.826.0.1.3680043.8.498.99",
}
ACCEPTED, ABSTRACT_SYNTAX, TRANSFER_SYNTAX = 0x00, 0x03, 0x04


@contextmanager
def listening(root: Path, **receiving: object) -> Iterator[Settings]:
    """A receiver on a free port while inside; its settings."""
    settings = Settings(receiving=Receiving.model_validate({"port": free_ports(1)[0], "reserve_gb": 0} | receiving))
    receiver = Receiver(settings.node.ae_title, settings.receiving, Spool(root / "spool"), lambda _receipt: None)
    receiver.start()
    try:
        yield settings
    finally:
        receiver.stop()


@cache
def statement_as_read() -> Any:
    """The statement of the default settings as a machine reads it."""
    return json.loads(conformance(Settings(), as_json=True))


def listed(settings: Settings) -> list[tuple[str, str]]:
    """Every (SOP class, transfer syntax) that the statement says is accepted."""
    return [
        (sop_class, syntax)
        for contexts in network(settings).accepts
        for _, sop_class in contexts.sop_classes
        for _, syntax in contexts.transfer_syntaxes
    ]


def associate(settings: Settings, pairs: Sequence[tuple[str, str]], called: str = "CXRNODE") -> Association:
    """An association that proposes each pair in a context of its own."""
    ae = AE("MODALITY")
    ae.requested_contexts = [build_context(sop_class, syntax) for sop_class, syntax in pairs]
    return ae.associate(settings.receiving.host, settings.receiving.port, ae_title=called)


def negotiated(settings: Settings, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """What became of each pair (PS3.8 Table 9-18)."""
    association = associate(settings, pairs)
    contexts = {one.context_id: one.result for one in (*association.accepted_contexts, *association.rejected_contexts)}
    if association.is_established:
        association.release()
    return {pair: contexts[2 * number + 1] for number, pair in enumerate(pairs)}


def test_every_class_and_syntax_in_the_statement_is_accepted(tmp_path: Path) -> None:
    with listening(tmp_path) as settings:
        pairs = listed(settings)
        results = [
            pair
            for start in range(0, len(pairs), 128)
            for pair in negotiated(settings, pairs[start : start + 128]).items()
        ]

    assert len(pairs) > 6000
    assert [pair for pair, result in results if result != ACCEPTED] == []


@pytest.mark.parametrize("what", NOT_OFFERED)
def test_what_the_statement_does_not_list_is_rejected(tmp_path: Path, what: str) -> None:
    uid = NOT_OFFERED[what]
    with listening(tmp_path) as settings:
        assert uid not in {sop_class for sop_class, _ in listed(settings)}
        assert negotiated(settings, [(uid, IMPLICIT), (VERIFICATION, IMPLICIT)]) == {
            (uid, IMPLICIT): ABSTRACT_SYNTAX,
            (VERIFICATION, IMPLICIT): ACCEPTED,
        }


def test_a_syntax_that_the_statement_does_not_list_is_rejected_as_such(tmp_path: Path) -> None:
    with listening(tmp_path) as settings:
        assert negotiated(settings, [(DX, "1.2.3.4"), (DX, EXPLICIT)])[DX, "1.2.3.4"] == TRANSFER_SYNTAX


def test_settings_that_take_fewer_classes_make_another_statement_and_it_is_true(tmp_path: Path) -> None:
    with listening(tmp_path, storage_classes=[CR, DX]) as settings:
        pairs = listed(settings)
        assert {sop_class for sop_class, _ in pairs} == {VERIFICATION, CR, DX}
        assert set(negotiated(settings, pairs).values()) == {ACCEPTED}
        assert negotiated(settings, [(CT, EXPLICIT), (CR, EXPLICIT)])[CT, EXPLICIT] == ABSTRACT_SYNTAX


def test_of_a_context_s_syntaxes_the_statement_s_first_is_taken_and_nothing_else_is_negotiated(tmp_path: Path) -> None:
    proposed = ["1.2.3.4", "1.2.840.10008.1.2.4.90", EXPLICIT]
    with listening(tmp_path) as settings:
        ae = AE("MODALITY")
        ae.add_requested_context(DX, proposed)
        address = (settings.receiving.host, settings.receiving.port)
        association = ae.associate(*address, ae_title="CXRNODE")
        association.release()

    (context,) = association.accepted_contexts
    order = [syntax for sop_class, syntax in listed(settings) if sop_class == DX]
    assert context.transfer_syntax == [next(one for one in order if one in proposed)] == [EXPLICIT]
    said, acceptor = network(settings), association.acceptor
    assert (acceptor.implementation_version_name, acceptor.implementation_class_uid) == said.implementation
    assert acceptor.maximum_length == said.acceptor["maximum_pdu_size"] == 2**20
    assert (acceptor.sop_class_extended, acceptor.role_selection, acceptor.asynchronous_operations) == ({}, {}, (1, 1))


def test_associations_are_rejected_as_the_statement_says(tmp_path: Path) -> None:
    rejected = []
    with listening(tmp_path, max_associations=1) as settings:
        rejected.append(associate(settings, [(VERIFICATION, IMPLICIT)], called="OTHER"))
        first = associate(settings, [(VERIFICATION, IMPLICIT)])
        rejected.append(associate(settings, [(VERIFICATION, IMPLICIT)]))
        first.release()
    sender = {"ae_title": "DXROOM1", "addresses": ["192.0.2.7"]}
    with listening(tmp_path, senders=[sender]) as settings:
        rejected.append(associate(settings, [(VERIFICATION, IMPLICIT)]))

    answers = [one.acceptor.primitive for one in rejected]
    assert [(one.result, one.result_source, one.diagnostic) for one in answers] == [(1, 1, 7), (2, 3, 2), (1, 1, 3)]
    statement = conformance(settings, as_json=False)
    assert "`DXROOM1` from 192.0.2.7." in statement
    for row in (
        "1, permanent | 1, service user | 7",
        "2, transient | 3, service",
        "1, permanent | 1, service user | 3",
    ):
        assert f"| {row}" in statement


@dataclass
class Witness:
    """A PACS that takes everything and remembers what it was asked for."""

    proposed: set[tuple[str, str]] = field(default_factory=set)
    requestors: list[Any] = field(default_factory=list)
    stored: int = 0

    @contextmanager
    def listening(self) -> Iterator[Destination]:
        """Listen on loopback inside."""
        ae = AE("WITNESS")
        for sop_class in statement_as_read()["kinds"]:
            ae.add_supported_context(sop_class["sop_class"][1], [EXPLICIT, IMPLICIT])
        ae.add_supported_context(VERIFICATION)
        handlers = [(evt.EVT_REQUESTED, self._on_requested), (evt.EVT_C_STORE, self._on_c_store)]
        with served(ae, handlers) as port:
            yield Destination(name="witness", ae_title="WITNESS", host="127.0.0.1", port=port)

    def _on_requested(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        self.requestors.append(requestor)
        for context in requestor.primitive.presentation_context_definition_list:
            self.proposed |= {(str(context.abstract_syntax), str(syntax)) for syntax in context.transfer_syntax}

    def _on_c_store(self, event: evt.Event) -> int:
        self.stored += 1
        return 0x0000


def test_a_pacs_is_asked_for_exactly_the_contexts_that_the_statement_lists(tmp_path: Path) -> None:
    statement, witness = statement_as_read(), Witness()
    made = specimens(plain_case(Settings()))
    files = [tmp_path / f"{number}.dcm" for number in range(len(made))]
    for file, specimen in zip(files, made, strict=True):
        file.write_bytes(specimen.content)
    with witness.listening() as destination:
        send(files, destination, "CXRNODE", lambda _index, _sent: None)

        assert witness.stored == len(files)
        assert witness.proposed == {
            (kind["sop_class"][1], syntax) for kind in statement["kinds"] for _, syntax in kind["transfer_syntaxes"]
        }
        everything = witness.proposed.copy()
        witness.proposed.clear()
        assert not_taken(destination, "CXRNODE", {sop_class for sop_class, _ in everything}) == []
        assert witness.proposed == everything
        witness.proposed.clear()
        echo(destination, "CXRNODE")
        assert witness.proposed == {(VERIFICATION, IMPLICIT)}
        witness.proposed.clear()
        said = statement["network"]["retrieval"]
        with pytest.raises(PeerRefused):
            move(archive_at(destination, "move"), "CXRNODE", "CXRNODE", "1.2.3")
        asked = {(said["move"][1], syntax) for _, syntax in said["transfer_syntaxes"]}
        assert witness.proposed == asked | {(VERIFICATION, IMPLICIT)}
        witness.proposed.clear()
        with pytest.raises(PeerRefused):
            get(archive_at(destination, "get"), "CXRNODE", "1.2.3", lambda _content: 0)
        asked = {(said["get"][1], syntax) for _, syntax in said["transfer_syntaxes"]}
        brought = {
            (sop_class, syntax)
            for contexts in said["brings"]
            for _, sop_class in contexts["sop_classes"]
            for _, syntax in contexts["transfer_syntaxes"]
        }
        assert witness.proposed == asked | brought | {(VERIFICATION, IMPLICIT)}
        roles = witness.requestors.pop().role_selection
        assert {str(uid) for uid in roles} == {sop_class for sop_class, _ in brought}
        witness.proposed.clear()
        assert not offers_commitment(destination, "CXRNODE")
        said = statement["network"]["commitment"]
        assert said["sop_class"][1] == STORAGE_COMMITMENT
        asked = {(STORAGE_COMMITMENT, syntax) for _, syntax in said["transfer_syntaxes"]}
        assert witness.proposed == asked | {(VERIFICATION, IMPLICIT)}

    for requestor in witness.requestors:
        assert (requestor.sop_class_extended, requestor.role_selection, requestor.user_identity) == ({}, {}, None)
        assert requestor.maximum_length == statement["network"]["initiator"]["maximum_pdu_size"] == 0
        found = [requestor.implementation_version_name, requestor.implementation_class_uid]
        assert found == statement["network"]["implementation"]


def archive_at(peer: Destination, retrieve: str) -> Archive:
    where = {"ae_title": peer.ae_title, "host": peer.host, "port": peer.port}
    return Archive.model_validate({"name": "witness", "retrieve": retrieve} | where)


def test_an_object_of_one_kind_is_sent_with_no_context_of_another(tmp_path: Path) -> None:
    witness = Witness()
    report = next(one for one in specimens(plain_case(Settings())) if one.kind == "report")
    (tmp_path / "report.dcm").write_bytes(report.content)
    with witness.listening() as destination:
        send([tmp_path / "report.dcm"], destination, "CXRNODE", lambda _index, _sent: None)

    assert witness.proposed == {("1.2.840.10008.5.1.4.1.1.88.34", syntax) for syntax in (EXPLICIT, IMPLICIT)}
