"""A PACS with DICOMweb, on loopback: a small HTTP server that answers as it is told to, however wrongly."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pydicom import Dataset

from cxrnode.settings.archive import Archive
from tests.shelves import Shelf

BOUNDARY = "a-boundary"
MULTIPART = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


@dataclass(frozen=True)
class Page:
    """An answer: its body goes out piece by piece, without its length and closing the connection."""

    body: Iterable[bytes] = ()
    status: int = 200
    kind: str = "application/dicom+json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class WebPacs:
    """A DICOMweb service: `answer` has the page for a path and its query."""

    answer: Callable[[str, dict[str, str]], Page]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    authorization: list[str | None] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def listening(self) -> Iterator["WebPacs"]:
        """Listen on loopback inside."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"pacs": self}))
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def archive(self, **settings: object) -> Archive:
        """This PACS as one that studies are fetched from."""
        where = {"url": f"http://127.0.0.1:{self.port}/dicom-web", "timeout_s": 2}
        return Archive.model_validate({"name": "web", "retrieve": "web"} | where | settings)


class _Handler(BaseHTTPRequestHandler):
    pacs: WebPacs

    def do_GET(self) -> None:
        """Answer as the PACS is told to."""
        parts = urlsplit(self.path)
        query = {name: ",".join(values) for name, values in parse_qs(parts.query).items()}
        self.pacs.asked.append((parts.path, query))
        self.pacs.authorization.append(self.headers["Authorization"])
        page = self.pacs.answer(parts.path, query)
        with suppress(OSError):  # whoever asked may have gone
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in page.body:
                self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def as_json(matches: Sequence[Dataset], status: int = 200, **headers: str) -> Page:
    """Matches as DICOM JSON (PS3.18 F.2)."""
    return Page([json.dumps([match.to_json_dict() for match in matches]).encode()], status, headers=headers)


def parts(contents: Iterable[bytes], *, closed: bool = True) -> Page:
    """Instances as the parts of one body; not `closed`, the last delimiter is absent."""
    return Page(_encoded(contents, closed=closed), kind=MULTIPART)


def _encoded(contents: Iterable[bytes], *, closed: bool) -> Iterator[bytes]:
    for content in contents:
        yield f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + content
    if closed:
        yield f"\r\n--{BOUNDARY}--\r\n".encode()


def of_shelf(shelf: Shelf, *, pages: bool = True) -> Callable[[str, dict[str, str]], Page]:
    """The studies of a shelf, in pages as asked or all at once; what it caps it says by a Warning, or by 413."""

    def answer(_path: str, query: dict[str, str]) -> Page:
        limit, offset = int(query.pop("limit")), int(query.pop("offset"))
        query.pop("includefield", "")
        request = Dataset()
        for keyword, value in query.items():
            setattr(request, keyword, value.split(",") if keyword == "StudyInstanceUID" else value)
        answers = list(shelf.answer(request))
        found = [match for _, match in answers if match is not None]
        statuses = {status for status, match in answers if match is None}
        if 413 in statuses:
            return Page(status=413)
        if pages:
            found = found[offset : offset + limit]
        warned = {"Warning": '299 web: "There are additional results that can be requested"'} if statuses else {}
        return as_json(found, **warned)

    return answer


def password(folder: Path, text: str = "hunter2\n") -> Path:
    """A file with a password."""
    path = folder / "password"
    path.write_text(text, encoding="utf-8")
    return path
