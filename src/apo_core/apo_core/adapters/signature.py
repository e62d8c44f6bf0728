"""Ed25519 signatures (RFC 8032) of adapters, promotions, trials and calibrations.

That of an adapter covers `manifest.json`, which holds its number and the sha256 of every other file, and is checked
before anything in it is parsed. The others are documents that hold their signature: `signed` and `unsigned`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from apo_core.adapters.files import to_json
from apo_core.errors import AdapterError

ALGORITHM = "ed25519"
# what is signed as one of these passes for nothing else that is signed with the same key
_CONTEXTS = {
    "manifest": b"apo.adapter manifest\0",
    "apo.promotion": b"apo.promotion\0",
    "apo.trial": b"apo.trial\0",
    "apo.help_calibration": b"apo.help_calibration\0",
}
_SIGNATURE = "signature"
_MAX_KEY_BYTES = 1 << 16
_HEX_64, _HEX_128 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the 32 bytes of a public key, hex."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


@dataclass(frozen=True)
class SigningKey:
    """Makes signatures."""

    private: Ed25519PrivateKey

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.private.public_key())

    def sign(self, manifest: bytes) -> bytes:
        """Content of signature.json for a manifest.json."""
        return (json.dumps(self._signature(manifest, "manifest"), indent=2) + "\n").encode()

    def signed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A promotion, trial or calibration with its signature."""
        return {**document, _SIGNATURE: self._signature(to_json(document), document["schema"])}

    def _signature(self, data: bytes, context: str) -> dict[str, str]:
        return {
            "algorithm": ALGORITHM,
            "key_sha256": self.fingerprint,
            "signature": self.private.sign(_CONTEXTS[context] + data).hex(),
        }


@dataclass(frozen=True)
class TrustedKeys:
    """Accepts what one of its keys has signed."""

    source: str  # file they came from
    keys: tuple[Ed25519PublicKey, ...]

    def check(self, manifest: bytes, signature: bytes | None) -> str:
        """Fingerprint of the key that signed.

        Args:
            manifest: content of manifest.json.
            signature: content of signature.json, None without one.

        Raises:
            AdapterError: not signed, by another key, or for another manifest.
        """
        return self._check(manifest, None if signature is None else _parsed(signature), "manifest", "manifest.json")

    def check_document(self, document: Mapping[str, Any]) -> str:
        """The same of a promotion, trial or calibration, which holds its signature itself."""
        signature = document.get(_SIGNATURE)
        schema = document.get("schema")
        if not isinstance(schema, str) or schema not in _CONTEXTS:
            raise AdapterError(f"its schema {schema!r} is unknown")
        return self._check(to_json(unsigned(document)), signature, schema, "content")

    def check_key(self, key: SigningKey) -> None:
        """Raises AdapterError where these keys would reject what `key` signs."""
        if key.fingerprint not in {fingerprint(each) for each in self.keys}:
            raise AdapterError(f"{self.source} does not have the public key of {key.fingerprint[:12]}")

    def _check(self, data: bytes, signature: Any, context: str, of: str) -> str:
        if signature is None:
            raise AdapterError(f"it is not signed, and only what is signed by a key of {self.source} is accepted")
        signer, value = _values(signature)
        by_name = {fingerprint(key): key for key in self.keys}
        if signer not in by_name:
            names = ", ".join(name[:12] for name in by_name)
            raise AdapterError(f"it is signed by key {signer[:12]}, {self.source} has {names}")
        try:
            by_name[signer].verify(value, _CONTEXTS[context] + data)
        except InvalidSignature:
            raise AdapterError(f"its signature by key {signer[:12]} does not belong to its {of}") from None
        return signer


def unsigned(document: Mapping[str, Any]) -> dict[str, Any]:
    """A promotion, trial or calibration without its signature."""
    return {name: value for name, value in document.items() if name != _SIGNATURE}


def document_signer(document: Mapping[str, Any]) -> str:
    """The same as `signer_of`, of a document that holds its signature; empty without one. Raises AdapterError."""
    return _values(document[_SIGNATURE])[0] if _SIGNATURE in document else ""


def signer_of(signature: bytes) -> str:
    """Fingerprint of the key that a signature.json names; nothing is proved by it. Raises AdapterError."""
    return _values(_parsed(signature))[0]


def make_keys(private: Path, public: Path) -> SigningKey:
    """Makes a key pair in two PEM files; the private one only its owner can read.

    Raises:
        AdapterError: a file exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shared = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path in (private, public):
        if path.exists():
            raise AdapterError(f"{path} exists already: a key is never overwritten")
    made: list[Path] = []
    for path, data, mode in ((private, secret, 0o600), (public, shared, 0o644)):
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                made.append(path)
                file.write(data)
        except OSError as error:
            for half in made:  # of a pair; else the next attempt would fail
                half.unlink(missing_ok=True)
            raise AdapterError(f"key {path} cannot be written: {error}") from None
    return SigningKey(key)


def read_signing_key(path: Path | str) -> SigningKey:
    """Reads a private key (PEM, PKCS#8, not encrypted). Raises AdapterError."""
    data = _read(path)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AdapterError(f"{path} is not a private key in PEM without a password: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise AdapterError(f"{path} holds a key of another kind than {ALGORITHM}")
    return SigningKey(key)


def read_trusted_keys(path: Path | str) -> TrustedKeys:
    """Reads public keys (PEM), one or several in a file. Raises AdapterError."""
    keys = []
    for block in _PEM.findall(_read(path)):
        try:
            key = serialization.load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise AdapterError(f"{path} is not a file of public keys: {error}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise AdapterError(f"{path} holds a key of another kind than {ALGORITHM}")
        keys.append(key)
    if not keys:
        raise AdapterError(f"{path} holds no public key (PEM)")
    return TrustedKeys(str(path), tuple(keys))


def _read(path: Path | str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise AdapterError(f"key {path} cannot be read: {error.strerror}") from None


def _parsed(signature: bytes) -> Any:
    try:
        return json.loads(signature.decode())
    except (ValueError, RecursionError):
        return False


def _values(document: Any) -> tuple[str, bytes]:
    """Fingerprint of the key and the signature's bytes."""
    if not isinstance(document, dict) or set(document) != {"algorithm", "key_sha256", "signature"}:
        raise AdapterError("its signature must be a JSON object of algorithm, key_sha256 and signature")
    if document["algorithm"] != ALGORITHM:
        raise AdapterError(f"its signature has algorithm = {document['algorithm']!r}, it must be '{ALGORITHM}'")
    for name, pattern in (("key_sha256", _HEX_64), ("signature", _HEX_128)):
        if not isinstance(document[name], str) or not pattern.fullmatch(document[name]):
            raise AdapterError(f"its signature has a {name} that is not hex digits of the right number")
    return document["key_sha256"], bytes.fromhex(document["signature"])
