"""Signatures: what a trusted key has signed is accepted, anything else is rejected with its reason."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from apo_core.adapters.signature import (
    SigningKey,
    make_keys,
    read_signing_key,
    read_trusted_keys,
    signer_of,
    unsigned,
)
from apo_core.errors import AdapterError

# RFC 8032, section 7.1, test 1
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
MANIFEST = b'{"number": 1}\n'
PUBLIC_PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
PRIVATE_PEM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return make_keys(tmp_path / "trainer.key", tmp_path / "trainer.pub")


def test_the_key_is_that_of_the_standard():
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(SECRET))
    assert key.private.public_key().public_bytes_raw() == PUBLIC
    # sha256 of PUBLIC
    assert key.fingerprint == "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9"


def test_what_was_signed_is_accepted(key, tmp_path):
    signature = key.sign(MANIFEST)

    assert read_trusted_keys(tmp_path / "trainer.pub").check(MANIFEST, signature) == key.fingerprint
    assert signer_of(signature) == key.fingerprint
    assert read_signing_key(tmp_path / "trainer.key").sign(MANIFEST) == signature


def test_the_private_key_is_for_its_owner_only(key, tmp_path):
    assert (tmp_path / "trainer.key").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_overwritten(key, tmp_path):
    before = (tmp_path / "trainer.key").read_bytes()
    for private, public in (("trainer.key", "new.pub"), ("new.key", "trainer.pub")):
        with pytest.raises(AdapterError, match="exists already: a key is never overwritten"):
            make_keys(tmp_path / private, tmp_path / public)
    assert (tmp_path / "trainer.key").read_bytes() == before
    assert not (tmp_path / "new.pub").exists()


def test_no_half_of_a_pair_is_left(tmp_path):
    with pytest.raises(AdapterError, match="cannot be written"):
        make_keys(tmp_path / "a.key", tmp_path / "none" / "a.pub")
    assert list(tmp_path.iterdir()) == []


def test_several_public_keys_may_lie_in_a_file(key, tmp_path):
    other = make_keys(tmp_path / "other.key", tmp_path / "other.pub")
    both = tmp_path / "both.pub"
    both.write_bytes((tmp_path / "other.pub").read_bytes() + (tmp_path / "trainer.pub").read_bytes())

    trusted = read_trusted_keys(both)
    assert [trusted.check(MANIFEST, one.sign(MANIFEST)) for one in (key, other)] == [key.fingerprint, other.fingerprint]


def changed(document: bytes, /, **values) -> bytes:
    return json.dumps({**json.loads(document), **values}).encode()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: None, r"it is not signed, and only what is signed by a key of .*trainer.pub is accepted"),
        (lambda s: b"", "must be a JSON object of algorithm, key_sha256 and signature"),
        (lambda s: b"[" * 4000, "must be a JSON object"),
        (lambda s: b"\xff", "must be a JSON object"),
        (lambda s: b"[1]", "must be a JSON object"),
        (lambda s: changed(s, more=1), "must be a JSON object"),
        (lambda s: changed(s, algorithm="none"), "algorithm = 'none', it must be 'ed25519'"),
        (lambda s: changed(s, signature="00"), "a signature that is not hex digits of the right number"),
        (lambda s: changed(s, key_sha256=7), "a key_sha256 that is not hex digits"),
        (lambda s: changed(s, key_sha256="0" * 64), "it is signed by key 000000000000, .*trainer.pub has"),
        (lambda s: changed(s, signature="0" * 128), "does not belong to its manifest.json"),
    ],
)
def test_anything_else_is_rejected_with_its_reason(key, tmp_path, damage, message):
    trusted = read_trusted_keys(tmp_path / "trainer.pub")
    with pytest.raises(AdapterError, match=message):
        trusted.check(MANIFEST, damage(key.sign(MANIFEST)))


def test_a_signature_holds_for_one_manifest_only(key, tmp_path):
    with pytest.raises(AdapterError, match=r"does not belong to its manifest\.json"):
        read_trusted_keys(tmp_path / "trainer.pub").check(b'{"number": 2}\n', key.sign(MANIFEST))


def test_an_untrusted_key_cannot_sign_for_a_trusted_one(key, tmp_path):
    stranger = SigningKey(Ed25519PrivateKey.from_private_bytes(SECRET))
    forged = changed(stranger.sign(MANIFEST), key_sha256=key.fingerprint)
    with pytest.raises(AdapterError, match="does not belong"):
        read_trusted_keys(tmp_path / "trainer.pub").check(MANIFEST, forged)


PROMOTION = {"schema": "apo.promotion", "number": 3}


def test_a_document_holds_its_signature(key, tmp_path):
    trusted, signed = read_trusted_keys(tmp_path / "trainer.pub"), key.signed(PROMOTION)
    assert trusted.check_document(signed) == key.fingerprint
    assert unsigned(signed) == PROMOTION


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (lambda key: PROMOTION, "it is not signed"),
        (lambda key: {**key.signed(PROMOTION), "number": 4}, "does not belong to its content"),
        (lambda key: {**key.signed(PROMOTION), "schema": "apo.trial"}, "does not belong to its content"),
        (lambda key: {**key.signed(PROMOTION), "schema": "other"}, "its schema 'other' is unknown"),
        (lambda key: {**key.signed(PROMOTION), "schema": []}, r"its schema \[\] is unknown"),
        (lambda key: {**PROMOTION, "signature": 7}, "must be a JSON object"),
    ],
)
def test_a_document_that_is_not_what_was_signed_is_rejected(key, tmp_path, document, message):
    with pytest.raises(AdapterError, match=message):
        read_trusted_keys(tmp_path / "trainer.pub").check_document(document(key))


def test_a_key_without_its_public_half_is_rejected(key, tmp_path):
    trusted = read_trusted_keys(tmp_path / "trainer.pub")
    trusted.check_key(key)
    stranger = SigningKey(Ed25519PrivateKey.from_private_bytes(SECRET))
    with pytest.raises(AdapterError, match=r"trainer\.pub does not have the public key of"):
        trusted.check_key(stranger)


def test_files_that_hold_no_such_key_are_rejected(key, tmp_path):
    path, other = tmp_path / "file", X25519PrivateKey.generate()
    with pytest.raises(AdapterError, match="cannot be read: No such file"):
        read_signing_key(path)
    path.write_text("nothing")
    with pytest.raises(AdapterError, match="is not a private key in PEM"):
        read_signing_key(path)
    with pytest.raises(AdapterError, match="holds no public key"):
        read_trusted_keys(path)
    path.write_bytes(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(AdapterError, match="is not a file of public keys"):
        read_trusted_keys(path)
    path.write_bytes(other.public_key().public_bytes(*PUBLIC_PEM))
    with pytest.raises(AdapterError, match="a key of another kind than ed25519"):
        read_trusted_keys(path)
    path.write_bytes(other.private_bytes(*PRIVATE_PEM, serialization.NoEncryption()))
    with pytest.raises(AdapterError, match="a key of another kind than ed25519"):
        read_signing_key(path)
    path.write_bytes(key.private.private_bytes(*PRIVATE_PEM, serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(AdapterError, match="without a password"):
        read_signing_key(path)
