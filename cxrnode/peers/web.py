"""DICOMweb: a PACS is searched by QIDO-RS and gives studies by WADO-RS (PS3.18 10.6, 10.4), within limits.

The library's errors are not passed on: they show addresses, and those have accession numbers in them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http import HTTPStatus
from time import monotonic
from typing import Any, Self
from urllib.parse import quote, urlencode

import requests
from dicomweb_client import DICOMwebClient
from pydicom import DataElement, Dataset, config
from pydicom.datadict import tag_for_keyword
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import TimeoutError as TransportTimeoutError

from cxrnode.errors import CxrNodeError, PeerRefused, PeerUnavailable, SettingsError
from cxrnode.peers.cfind import LONGEST_QUESTION, TooManyError
from cxrnode.peers.match import text_in
from cxrnode.peers.retrieve import LARGEST_INSTANCE, MOST_INSTANCES, Retrieved, Take
from cxrnode.settings.archive import Archive

AS_IT_IS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PAGE = 1000
LARGEST_PAGE = 2**26
PIECE = 2**16
MORE = "299"
"""what the Warning header of an answer that is not whole begins with (PS3.18 8.3.4.4)"""
LATER: set[int] = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
NO_STUDY: set[int] = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
REFUSALS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "wants another user or password; wanted those that it knows in user and password_file",
    HTTPStatus.FORBIDDEN: "does not allow it; wanted a user who may query and retrieve in user",
    HTTPStatus.NOT_FOUND: "has nothing at this address; wanted the root of its DICOMweb services in url",
    HTTPStatus.NOT_ACCEPTABLE: "does not give images as it has them",
}


class Searching:
    """Questions put to a PACS, as `cxrnode.peers.cfind.Asking` puts them."""

    def __init__(self, archive: Archive) -> None:
        self._service = _Service(archive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.close()

    def ask(self, request: Dataset) -> Iterator[Dataset | None]:
        """The matches of a C-FIND identifier one at a time; None is one that cannot be read.

        Raises TooManyError after the last that is told where there are more, PeerUnavailable and PeerRefused.
        """
        matched = {element.keyword: _asked(element.value) for element in request if element.value}
        told = [element.keyword for element in request if not element.value]
        level = matched.pop("QueryRetrieveLevel", "STUDY")
        matched.pop("SpecificCharacterSet", None)
        seen: set[str] = set()
        for offset in range(0, MOST_INSTANCES, PAGE):
            page, whole = self._service.page(level, offset, told, matched)
            known = [str(one) for one in page]
            if offset and seen.issuperset(known):  # it heeds no offset, or has no more
                if whole or not known:
                    return
                raise TooManyError
            seen = set(known)
            yield from (_read(one, request) for one in page)
            if whole and len(page) != PAGE:
                return


def get_study(archive: Archive, study_instance_uid: str, take: Take) -> Retrieved:
    """Fetch a study; `take` is given each instance as the PACS's PS3.10 bytes. What it raises ends the retrieval.

    Raises PeerUnavailable where nothing comes in time or what comes has no end, and PeerRefused with the HTTP status.
    """
    service = _Service(archive)
    kept = failed = 0
    try:
        for part in service.parts(study_instance_uid):
            if kept + failed >= MOST_INSTANCES:
                raise PeerUnavailable(f"what {archive.where} sends does not come to an end")
            taken = take(part) == 0x0000
            kept, failed = kept + taken, failed + (not taken)
    except PeerRefused as refusal:
        if refusal.status in NO_STUDY and service.has_no(study_instance_uid):
            return Retrieved(0, 0)
        raise
    finally:
        service.close()
    reason = f"{failed} of {kept + failed} images from {archive.name} could not be kept" if failed else ""
    return Retrieved(kept, failed, reason)


def offers(archive: Archive) -> None:
    """Search a PACS for one study, whichever. Raises PeerUnavailable and PeerRefused with the reason."""
    service = _Service(archive)
    try:
        service.page("STUDY", 0, [], {}, limit=1)
    finally:
        service.close()


def answers(archive: Archive) -> bool:
    """Whether a PACS answers at all, if only by a refusal."""
    try:
        offers(archive)
    except PeerUnavailable:
        return False
    except PeerRefused:
        return True
    return True


class _Service(DICOMwebClient):
    """The library's client, which knows no limit of bytes or time, and parses each instance before it gives it away."""

    def __init__(self, archive: Archive) -> None:
        for library in ("dicomweb_client", "urllib3", "requests"):
            logging.getLogger(library).setLevel(logging.CRITICAL + 1)  # their lines quote addresses
        self._archive = archive
        self._left, self._until, self._warned = 0, 0.0, False
        super().__init__(archive.url, _session(archive), callback=self._limited, timeout=archive.timeout_s)
        self.set_http_retry_params(retry=False)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def page(
        self, level: str, offset: int, told: list[str], matched: dict[str, str], limit: int = PAGE
    ) -> tuple[list[Any], bool]:
        """Some matches as DICOM JSON, and whether the PACS says that there are more."""
        with self._errors():
            self._allow(LARGEST_PAGE, LONGEST_QUESTION * self._archive.timeout_s)
            search: dict[str, Any] = {"limit": limit, "offset": offset, "fields": told}
            if level == "STUDY":
                found = self.search_for_studies(**search, search_filters=matched)
            else:
                others = {name: value for name, value in matched.items() if name != "StudyInstanceUID"}
                found = self.search_for_series(matched["StudyInstanceUID"], **search, search_filters=others)
        if not isinstance(found, list):
            raise PeerUnavailable(f"{self._archive.where} answers a search with what is no list")
        return found, not self._warned

    def parts(self, study_instance_uid: str) -> Iterator[bytes]:
        """The instances of a study as they are; the library's iter_study would end at the first that is damaged."""
        with self._errors():
            url = f"{self.base_url}/studies/{study_instance_uid}"
            response = self._http_get(url, headers={"Accept": AS_IT_IS}, stream=True)
            self._allow(LARGEST_INSTANCE, self._archive.timeout_s)
            if response.status_code == HTTPStatus.NO_CONTENT:
                return
            alone = response.headers.get("Content-Type", "").startswith("application/dicom")  # of one instance, by some
            parts = iter([response.content]) if alone else self._decode_multipart_message(response, stream=True)
        while True:
            with self._errors():
                part = next(parts, None)
            if part is None:
                return
            yield bytes(part)
            self._allow(LARGEST_INSTANCE, self._archive.timeout_s)

    def _http_get(
        self,
        url: str,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,  # noqa: FBT001, FBT002  as the library has it
    ) -> requests.Response:
        """As the library does it, but with wildcards and commas as they are, for some PACSs do not decode them."""
        query = f"?{urlencode(params, doseq=True, quote_via=quote, safe='*?,')}" if params else ""
        return super()._http_get(url + query, None, headers, stream)

    def has_no(self, study_instance_uid: str) -> bool:
        """Whether the PACS says that it has no such study."""
        try:
            found, _ = self.page("STUDY", 0, [], {"StudyInstanceUID": study_instance_uid}, limit=2)
        except (CxrNodeError, TooManyError):
            return False
        return not found

    def _allow(self, size: int, patience_s: float) -> None:
        self._left, self._until = size, monotonic() + patience_s

    def _limited(self, response: requests.Response, *_: Any, **__: Any) -> requests.Response:
        """For requests, when the headers are there: the body is read within the limits."""
        self._warned = response.headers.get("Warning", "").startswith(MORE)
        response.iter_content = lambda *_, **__: self._body(response)  # type: ignore[method-assign]
        return response

    def _body(self, response: requests.Response) -> Iterator[bytes]:
        """The bytes as they come. A multipart body that ends before its last delimiter raises: its last part is cut."""
        kind = Message()
        kind["Content-Type"] = response.headers.get("Content-Type", "")
        boundary = kind.get_boundary()
        tail = b""
        while piece := response.raw.read1(PIECE):
            self._left -= len(piece)
            if self._left < 0:
                raise PeerUnavailable(f"{self._archive.where} sends more than a page or an image can hold")
            if monotonic() > self._until:
                raise PeerUnavailable(f"{self._archive.where} sends too slowly; wanted an image whole in timeout_s")
            tail = (tail + piece)[-256:]
            yield piece
        if boundary and response.ok and f"--{boundary}--".encode() not in tail:
            raise PeerUnavailable(f"{self._archive.where} ended the connection in the middle of a study")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the libraries raise, in words that show no address."""
        where = self._archive.where
        try:
            yield
        except CxrNodeError:
            raise
        except requests.HTTPError as error:
            raise self._refusal(error.response.status_code if error.response is not None else 0) from None
        except requests.TooManyRedirects:
            raise PeerRefused(f"{where} sends us elsewhere; wanted the address itself in url", 302) from None
        except requests.exceptions.SSLError:
            raise PeerUnavailable(f"{where} has no certificate that is trusted here; wanted ca_file") from None
        except (requests.Timeout, TransportTimeoutError, TimeoutError):
            told = f"{where} gave no answer within {self._archive.timeout_s:g} s"
            raise PeerUnavailable(told) from None
        except (requests.ConnectionError, TransportError):
            raise PeerUnavailable(f"{where} cannot be reached, or ended the connection") from None
        except Exception as error:  # noqa: BLE001  whatever a stranger's bytes make the libraries raise
            told = f"{where} answers with what cannot be understood ({type(error).__name__}); is url its DICOMweb root?"
            raise PeerUnavailable(told) from None

    def _refusal(self, status: int) -> Exception:
        shown = f"{self._archive.where}: HTTP {status}"
        if status in LATER or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED):
            return PeerUnavailable(f"{shown}; it is to be asked again later")
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return TooManyError()
        return PeerRefused(f"{shown}: it {REFUSALS.get(status, 'refused')}", status)


def _session(archive: Archive) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # neither proxies nor passwords from the environment or a .netrc
    session.max_redirects = 0  # patients' identifiers go to the one address in the settings
    session.headers["Accept-Encoding"] = "identity"
    if archive.ca_file is not None:
        if not archive.ca_file.is_file():
            raise SettingsError(f"ca_file of {archive.name}: {archive.ca_file} is no file; wanted certificates as PEM")
        session.verify = str(archive.ca_file)
    if archive.password_file is not None:
        try:
            password = archive.password_file.read_bytes().strip(b"\r\n")
        except OSError as error:
            told = f"password_file of {archive.name}: {archive.password_file} cannot be read ({error.strerror})"
            raise SettingsError(f"{told}; wanted the password alone in it") from error
        session.auth = HTTPBasicAuth(archive.user.encode(), password)
    return session


def _asked(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(value)


def _read(match: Any, request: Dataset) -> Dataset | None:
    """Of a match in DICOM JSON what was asked for (PS3.18 F.2); None where there is nothing of it."""
    if not isinstance(match, dict):
        return None
    told = Dataset()
    for keyword in [element.keyword for element in request]:
        tag = tag_for_keyword(keyword) or 0
        entry = match.get(f"{tag:08X}")
        values = entry.get("Value", []) if isinstance(entry, dict) else None
        if isinstance(values, list):
            texts = [str(value) for value in values if isinstance(value, str | int)]
            told[tag] = DataElement(tag, "LO", texts, validation_mode=config.IGNORE)  # text, of whatever kind
    return told if text_in(told, "StudyInstanceUID") else None
