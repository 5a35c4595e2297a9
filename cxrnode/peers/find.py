"""Studies of a PACS: a search by date, modality, description, body part and station, and the studies that a list names.

A PACS may cap its answers, say so or not, ignore keys that it does not know, and repeat itself: a question that
got suspiciously much is put again in halves, and what comes back is held against the question as far as it tells.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain, islice

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword

from cxrnode.errors import PeerRefused
from cxrnode.peers.cfind import MOST_MATCHES, OUT_OF_RESOURCES, Asking, TooManyError
from cxrnode.peers.match import SERIES_KEYS, STUDY_KEYS, UIDENTIFIER, StudyMatch, may_fit, series_in, study_in
from cxrnode.plans.criteria import Criteria
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.plans.seen import Seen
from cxrnode.plans.span import EVER, Span
from cxrnode.settings.archive import Archive

Ask = Callable[[Dataset], Iterator[Dataset | None]]
Tell = Callable[[Dataset], None]
"""Is told each question before it is put."""
FEW, LONGEST_SPAN_DAYS = 250, 64
"""After a question with few matches the next is about twice as many days, up to this."""
UIDS_AT_A_TIME = 50
LONGEST_ACCESSION = 16
ACCESSION = re.compile(r"[^\\*?\x00-\x1f\x7f]{1,16}")
MOST_SERIES = 1000


def find_studies(archive: Archive, calling_ae: str, criteria: Criteria, tell: Tell | None = None) -> Iterator[Entry]:
    """The studies of a PACS that meet the criteria, each once and by date, as they are found.

    Raises PeerUnavailable and PeerRefused with the reason; 0xA700 where the PACS caps its answers to the narrowest
    question, or heeds no date.
    """
    with _asking(archive, calling_ae, tell) as ask, Seen() as seen:
        for match in chain.from_iterable(_spans(ask, archive, criteria)):
            if not match.study:
                yield _unnamed(archive, match)
            elif seen.first_time(match.study) and _is_wanted(ask, match, criteria):
                yield _entry(match)


def resolve(archive: Archive, calling_ae: str, names: Iterable[str], tell: Tell | None = None) -> Iterator[Entry]:
    """The studies that a list of Study Instance UIDs and accession numbers names, each once, in the list's order.

    What the PACS does not know is an entry with the verdict "not found" and the reason. Raises as `find_studies` does.
    """
    with _asking(archive, calling_ae, tell) as ask, Seen() as seen:
        left = (name.strip() for name in names)
        while some := list(islice(left, UIDS_AT_A_TIME)):
            known = _known(ask, [name for name in some if _is_uid(name)])
            for name in some:
                if not name or not seen.first_time(name):
                    continue
                matches = [known[name]] if name in known else _named(ask, name)
                yield from (_entry(match) for match in matches if name == match.study or seen.first_time(match.study))
                if not matches:
                    yield _not_found(archive, name)


@contextmanager
def _asking(archive: Archive, calling_ae: str, tell: Tell | None) -> Iterator[Ask]:
    def told(ask: Ask) -> Ask:
        def telling(question: Dataset) -> Iterator[Dataset | None]:
            if tell is not None:
                tell(question)
            return ask(question)

        return telling

    if archive.retrieve == "web":
        from cxrnode.peers.web import Searching

        with Searching(archive) as searching:
            yield told(searching.ask)
    else:
        with Asking(archive.peer, calling_ae) as asking:
            yield told(asking.ask)


def _spans(ask: Ask, archive: Archive, criteria: Criteria) -> Iterator[list[StudyMatch]]:
    """The matches of one span of days after the other; a span is as long as the last one's matches were few."""
    if criteria.first is None or criteria.last is None:
        yield from _within(ask, archive, criteria, EVER)
        return
    first, days = criteria.first, 1
    while first <= criteria.last:
        last = min(first + timedelta(days=days - 1), criteria.last)
        count = 0
        for matches in _within(ask, archive, criteria, Span(first, last)):
            count += len(matches)
            yield matches
        days = min(2 * days, LONGEST_SPAN_DAYS) if count < FEW else max(days // 2, 1)
        first = last + timedelta(days=1)


def _within(ask: Ask, archive: Archive, criteria: Criteria, span: Span) -> Iterator[list[StudyMatch]]:
    """The matches of a span in order: of one question a modality, or where that is too much of each half."""
    found: list[StudyMatch] = []
    too_wide = False
    for modality in criteria.modalities or ("",):
        matches, capped = _matches(ask, _request(criteria, modality, span))
        heeded = all(span.may_hold(match.date, match.time) for match in matches)
        if capped and not (heeded and span.halves):
            told = f"{archive.where} has more studies than the {len(matches)} that it tells"
            why = "of one minute" if heeded else "and heeds neither Study Date nor Study Time"
            raise PeerRefused(f"{told} {why}; wanted narrower criteria", OUT_OF_RESOURCES)
        too_wide = too_wide or capped or (heeded and bool(span.halves) and _suspicious(len(matches)))
        found += [match for match in matches if span.may_hold(match.date, match.time) and _may_be(match, criteria)]
    if too_wide:
        found = [match for match in found if not span.is_divided_by(match.date, match.time)]
        for half in span.halves:
            yield from _within(ask, archive, criteria, half)
    yield sorted(found, key=lambda match: (match.date, match.time, match.study))


def _suspicious(count: int) -> bool:
    """Whether a number of matches looks like a cap: a round one, in tens or in twos."""
    return count >= 100 and (count % 50 == 0 or count & (count - 1) == 0)


def _matches(ask: Ask, request: Dataset) -> tuple[list[StudyMatch], bool]:
    """What is told in answer to a question, and whether there is more."""
    matches: list[StudyMatch] = []
    try:
        for match in ask(request):
            matches.append(study_in(match))
            if len(matches) >= MOST_MATCHES:
                return matches, True
    except TooManyError:
        return matches, True
    return matches, False


def _may_be(match: StudyMatch, criteria: Criteria) -> bool:
    """Whether a study meets the criteria, as far as it is told."""
    known = criteria.modalities and match.modalities
    return may_fit(match.description, criteria.description) and (
        not known or not set(match.modalities).isdisjoint(criteria.modalities)
    )


def _is_wanted(ask: Ask, match: StudyMatch, criteria: Criteria) -> bool:
    """Whether a study has a series that is wanted; its series are asked for where it does not tell itself."""
    if not (criteria.of_series or (criteria.modalities and not match.modalities)):
        return True
    keys = dict.fromkeys(SERIES_KEYS) | {"StudyInstanceUID": match.study}
    try:
        told = [series_in(series) for series in islice(ask(_question("SERIES", keys)), MOST_SERIES)]
    except TooManyError:
        return True
    series = [one for one in told if one.study == match.study]
    return not series or any(one.may_be(criteria.modalities, criteria.body_part, criteria.station) for one in series)


def _known(ask: Ask, uids: list[str]) -> dict[str, StudyMatch]:
    """Of several studies those that the PACS tells when asked for all of them at once; some it may not."""
    if not uids:
        return {}
    try:
        matches, _ = _matches(ask, _question("STUDY", dict.fromkeys(STUDY_KEYS) | {"StudyInstanceUID": uids}))
    except PeerRefused:  # of one that takes no list each is asked alone
        return {}
    return {match.study: match for match in matches if match.study in set(uids)}


def _named(ask: Ask, name: str) -> list[StudyMatch]:
    """The studies that have this as their UID, or as their accession number."""
    for keyword, fits in {"StudyInstanceUID": _is_uid(name), "AccessionNumber": ACCESSION.fullmatch(name)}.items():
        if not fits:
            continue
        matches, _ = _matches(ask, _question("STUDY", dict.fromkeys(STUDY_KEYS) | {keyword: name}))
        studies = {match.study: match for match in matches if match.study}
        found = [match for match in studies.values() if name in {match.study, match.accession}]
        if found:
            return found
    return []


def _request(criteria: Criteria, modality: str, span: Span) -> Dataset:
    keys = dict.fromkeys(STUDY_KEYS) | span.keys
    return _question("STUDY", keys | {"ModalitiesInStudy": modality, "StudyDescription": criteria.description})


def _question(level: str, keys: Mapping[str, str | list[str] | None]) -> Dataset:
    """An identifier: the keys with a value are matched, the others are to be returned (PS3.4 C.4.1.1.3)."""
    request = Dataset()
    for keyword, value in {"QueryRetrieveLevel": level, **keys}.items():
        tag = tag_for_keyword(keyword) or 0
        # not validated: the values were, and pydicom's warnings would show them
        request[tag] = DataElement(tag, dictionary_VR(tag), value or None, validation_mode=config.IGNORE)
    if not "".join(value for value in keys.values() if isinstance(value, str)).isascii():
        request.SpecificCharacterSet = "ISO_IR 192"
    return request


def _is_uid(name: str) -> bool:
    return "." in name and UIDENTIFIER.fullmatch(name) is not None


def _entry(match: StudyMatch) -> Entry:
    return Entry(study=match.study, accession=match.accession, date=match.date, instances=match.instances)


def _unnamed(archive: Archive, match: StudyMatch) -> Entry:
    reason = f"{archive.name} tells no Study Instance UID of it"
    return Entry(accession=match.accession, date=match.date, verdict=Verdict.NOT_FOUND, reason=reason)


def _not_found(archive: Archive, name: str) -> Entry:
    reason = f"{archive.name} has no study of this UID or accession number"
    if not (_is_uid(name) or ACCESSION.fullmatch(name)):
        reason = "it is neither a UID nor an accession number: at most 16 characters, without *, ? and backslash"
    if len(name) > LONGEST_ACCESSION and _is_uid(name):
        return Entry(study=name, verdict=Verdict.NOT_FOUND, reason=reason)
    return Entry(accession=name, verdict=Verdict.NOT_FOUND, reason=reason)
