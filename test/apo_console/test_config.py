"""Parameters of the console."""

import pytest

from apo_console.config import ConsoleConfig
from apo_core.errors import ConfigError


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.0.0.5", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("robot", False),
    ],
)
def test_another_interface_than_loopback_has_tls(host, loopback):
    config = ConsoleConfig(host=host)
    assert (config.is_loopback, config.has_tls) == (loopback, not loopback)


def test_a_certificate_is_used_on_loopback_too():
    assert ConsoleConfig(tls_certificate="a.pem", tls_key="b.pem").has_tls


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"tls_certificate": "a.pem"}, "given together"),
        ({"token": "short"}, "token has 5 characters, at least 16"),
        ({"robots": ()}, "1 to 255 different namespaces"),
        ({"robots": ("a", "a")}, "1 to 255 different namespaces"),
    ],
)
def test_values_that_do_not_fit_are_rejected(values, fault):
    with pytest.raises(ConfigError, match=fault):
        ConsoleConfig(**values)
