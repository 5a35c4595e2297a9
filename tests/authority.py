"""A hospital's certificate authority for the tests: certificates as PEM files, good, expired or of somebody else."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cxrnode.settings.certificates import Certificates

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Shown:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is `ca.pem` in `folder`."""

    def __init__(self, folder: Path, name: str = "Hospital CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.file = folder, folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        self.file.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def signed(self, name: str, days: float = 365, password: bytes = b"", file: str = "") -> Shown:
        """A certificate for this name and 127.0.0.1 that is valid for so many days from yesterday."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        begins = datetime.now(UTC) - DAY
        built = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins - 10 * DAY)
            .not_valid_after(begins + days * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        shown = Shown(self.folder / f"{file or name}.pem", self.folder / f"{file or name}.key")
        shown.certificate.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
        shown.key.write_bytes(key.private_bytes(*form))
        shown.key.chmod(0o600)
        return shown

    def revoke(self, *shown: Shown, days: float = 7) -> Path:
        """A list of what is revoked, good for so many days."""
        now = datetime.now(UTC)
        built = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(now - 30 * DAY)
        built = built.next_update(now + days * DAY)
        for one in shown:
            number = x509.load_pem_x509_certificate(one.certificate.read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - DAY)
            built = built.add_revoked_certificate(revoked.build())
        file = self.folder / "crl.pem"
        file.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return file

    def certificates(self, name: str, days: float = 365, handshake_timeout_s: float = 10.0) -> Certificates:
        """Those of somebody of this name who trusts this authority."""
        shown = self.signed(name, days)
        files = {"certificate_file": str(shown.certificate), "key_file": str(shown.key), "ca_file": str(self.file)}
        return Certificates.model_validate(files | {"handshake_timeout_s": handshake_timeout_s})


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
