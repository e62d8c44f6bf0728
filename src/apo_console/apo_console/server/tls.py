"""Certificate and key of the server: given by files, or a self-signed pair that is made once."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apo_core.errors import ConfigError

_DAYS = 825  # browsers reject certificates that are valid for longer


def self_signed(folder: Path, names: Sequence[str], today: datetime.datetime) -> tuple[Path, Path]:
    """Certificate and key of `folder`, made when missing, run out, or made for other names.

    Args:
        folder: where they are kept; the key is readable by its owner alone.
        names: host names and addresses that the certificate is for, IPv6 with or without brackets.
        today: with its zone.

    Raises:
        ConfigError: the folder cannot be written.
    """
    certificate, key = folder / "console_certificate.pem", folder / "console_key.pem"
    if _is_valid(certificate, key, names, today):
        return certificate, key
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "apo console")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key.unlink(missing_ok=True)
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
    except OSError as error:
        raise ConfigError("config/console.yaml", [f"tls_dir = {str(folder)!r}: {error}"]) from None
    return certificate, key


def _is_valid(certificate: Path, key: Path, names: Sequence[str], today: datetime.datetime) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        secret = serialization.load_pem_private_key(key.read_bytes(), None)
        known = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    if secret.public_key() != found.public_key():  # cut off between the two files, or a full disk
        return False
    return today < found.not_valid_after_utc and set(map(_general_name, names)) == set(known)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)
