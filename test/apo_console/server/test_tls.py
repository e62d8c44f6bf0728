"""The self-signed pair of the console."""

import datetime
import ssl

import pytest
from cryptography import x509

from apo_console.server.tls import self_signed
from apo_core.errors import ConfigError

TODAY = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


def test_a_pair_is_made_once_and_the_key_is_private(tmp_path):
    certificate, key = self_signed(tmp_path / "tls", ["robot.lab", "10.0.0.5"], TODAY)
    made = certificate.read_bytes()
    names = x509.load_pem_x509_certificate(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["robot.lab"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.5"]
    assert key.stat().st_mode & 0o077 == 0
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    assert self_signed(tmp_path / "tls", ["robot.lab", "10.0.0.5"], TODAY)[0].read_bytes() == made


@pytest.mark.parametrize("change", ["names", "time", "damage", "another key", "half a key", "no key"])
def test_it_is_made_anew_when_it_does_not_fit(tmp_path, change):
    certificate, key = self_signed(tmp_path, ["robot.lab"], TODAY)
    made = certificate.read_bytes()
    if change == "damage":
        certificate.write_bytes(b"no certificate")
    elif change == "another key":
        key.write_bytes(self_signed(tmp_path / "other", ["robot.lab"], TODAY)[1].read_bytes())
    elif change == "half a key":
        key.write_bytes(key.read_bytes()[:90])
    elif change == "no key":
        key.unlink()
    names = ["other.lab"] if change == "names" else ["robot.lab"]
    day = TODAY + datetime.timedelta(days=900 if change == "time" else 1)
    certificate, key = self_signed(tmp_path, names, day)
    assert certificate.read_bytes() != made
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)


def test_an_address_in_brackets_is_an_address(tmp_path):
    certificate, _ = self_signed(tmp_path, ["[fd00::5]"], TODAY)
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["fd00::5"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="tls_dir"):
        self_signed(tmp_path / "file" / "tls", ["a"], TODAY)
