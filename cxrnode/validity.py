"""Until when certificates are good, and whether the files of this node's own are as they should be."""

import re
import ssl
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from cxrnode.errors import SettingsError
from cxrnode.settings.certificates import Certificates
from cxrnode.tls import context

SOON = timedelta(days=21)
"""A certificate that ends within it counts as wrong: to have a new one signed takes a hospital its time."""
LISTS = "the authorities' lists of revoked certificates as PEM"
LIST = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def looked_at(by: Certificates, now: datetime) -> str:
    """What is to be said of this node's certificate, when nothing is wrong. Raises SettingsError with all that is."""
    context(by, ssl.PROTOCOL_TLS_SERVER)
    own = (Path(file) for file in (by.key_file, by.key_password_file) if file)
    faults = [*open_to_others(own), *_over(by.certificate_file, now), *_over(by.ca_file, now), *_late(by.crl_file, now)]
    if faults:
        raise SettingsError("; ".join(faults))
    end = ends(Path(by.certificate_file))
    return f"{by.certificate_file} and its key match; good until {end:%Y-%m-%d}, for {(end - now).days} days"


def ends(file: Path) -> datetime:
    """When the first of the certificates in a PEM file ends to be valid, in UTC. Raises SettingsError."""
    return min(end for _, end in _ends(str(file)))


def list_ends(file: Path) -> datetime | None:
    """When the first of the lists of revoked certificates in a PEM file ends; None: none says. Raises SettingsError."""
    try:
        lists = [x509.load_pem_x509_crl(one) for one in LIST.findall(file.read_bytes())]
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror}); wanted {LISTS}") from error
    except ValueError as error:
        raise SettingsError(f"{file}: no list can be read there; wanted {LISTS}") from error
    return min((one.next_update_utc for one in lists if one.next_update_utc), default=None)


def open_to_others(paths: Iterable[Path]) -> Iterator[str]:
    """A fault for each file or folder that others than its owner can read, write or enter. Raises OSError."""
    for path in paths:
        mode, wanted = stat.S_IMODE(path.stat().st_mode), 0o700 if path.is_dir() else 0o600
        if mode & 0o077:
            yield f"{path}: mode {mode:04o} lets others in; wanted {wanted:04o} (chmod {wanted:o} {path})"


def _ends(file: str) -> list[tuple[str, datetime]]:
    try:
        found = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror}); wanted certificates as PEM") from error
    except ValueError as error:
        raise SettingsError(f"{file}: no certificate can be read there; wanted certificates as PEM") from error
    return [(one.subject.rfc4514_string(), one.not_valid_after_utc.astimezone(UTC)) for one in found]


def _late(file: str, now: datetime) -> Iterator[str]:
    """A fault where a list of revoked certificates is older than its authority says: then nobody is trusted."""
    if file and (until := list_ends(Path(file))) is not None and until <= now:
        yield f"{file}: its time ended on {until:%Y-%m-%d}, and nobody is trusted since; wanted the authority's newest"


def _over(file: str, now: datetime) -> Iterator[str]:
    """A fault for each certificate of a file that has ended, or soon will."""
    for subject, end in _ends(file):
        if end <= now:
            yield f"{file}: {subject} ended on {end:%Y-%m-%d}; wanted a new one"
        elif end - now < SOON:
            yield f"{file}: {subject} ends on {end:%Y-%m-%d}, in {(end - now).days} days; wanted a new one by then"
