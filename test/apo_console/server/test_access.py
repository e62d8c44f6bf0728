"""Who is let in."""

import pytest

from apo_console.server.access import HEADERS, Access, Attempts, RateLimit, url_host, viewer_name


@pytest.fixture
def access():
    return Access("secret", 8080, hosts=("robot.lab",))


def test_only_the_token_is_the_token(access):
    assert access.has_token("secret")
    for given in ("", "secre", "secret ", "SECRET", None, "s\u00e9cret", "\udcff"):
        assert not access.has_token(given)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "robot.lab:8080"])
def test_the_servers_names_are_accepted(access, host):
    assert access.host_fault(host) == ""
    assert access.origin_fault(f"http://{host}") == ""


@pytest.mark.parametrize("host", ["evil.example:8080", "127.0.0.1", "127.0.0.1:80", "robot.lab.evil:8080", "", None])
def test_another_host_is_rejected(access, host):
    assert "is not one of this console's names" in access.host_fault(host)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "https://localhost:8080",
        "http://evil.example",
        "http://evil.example:8080",
        "http://localhost:8080/x",
        "http://localhost:8080@evil.example",
        "http://[",
    ],
)
def test_another_origin_is_rejected(access, origin):
    assert "is not this console's" in access.origin_fault(origin)


@pytest.mark.parametrize("host", ["robot.lab", "[fd00::5]"])
def test_the_port_of_the_scheme_is_left_out(host):
    access = Access("secret", 443, hosts=("Robot.Lab", "FD00:0::5"), tls=True)
    for name in (host, f"{host}:443"):
        assert access.host_fault(name) == access.origin_fault(f"https://{name}") == ""
    assert Access("secret", 443, hosts=("Robot.Lab",)).host_fault("robot.lab") != ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Robot.lab", "robot.lab"), ("10.0.0.5", "10.0.0.5"), ("::1", "[::1]"), ("[FD00:0::5]", "[fd00::5]")],
)
def test_a_name_is_written_as_in_an_address(name, shown):
    assert url_host(name) == shown
    assert Access("secret", 8443, hosts=(name,), tls=True).origin_fault(f"https://{shown}:8443") == ""


def test_tls_asks_for_an_origin_with_tls():
    access = Access("secret", 8443, tls=True)
    assert access.origin_fault("https://localhost:8443") == ""
    assert access.origin_fault("http://localhost:8443") != ""


def test_two_consoles_have_cookies_of_their_own():
    assert Access("a", 8080).cookie == "apo_console_8080"
    assert Access("a", 8081).cookie == "apo_console_8081"


def test_the_page_loads_nothing_from_elsewhere():
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy and "http" not in policy and "unsafe" not in policy


def test_names_of_viewers_are_plain():
    assert viewer_name("Anna <b>", 1) == "Anna b"
    assert viewer_name("  ", 3) == "viewer 3"
    assert viewer_name("x" * 99, 1) == "x" * 40


def test_a_rate_is_limited_and_recovers():
    limit = RateLimit(3, 1.0)
    assert [limit.allows(t) for t in (0.0, 0.1, 0.2, 0.3, 1.05, 1.06)] == [True, True, True, False, True, False]


def test_wrong_tokens_block_their_address_alone_and_for_a_while():
    attempts = Attempts(count=3, seconds=60.0, addresses=2)
    for t in range(3):
        assert not attempts.is_blocked("a", float(t))
        attempts.failed("a", f"wrong {t}", float(t))
    assert attempts.is_blocked("a", 3.0)
    assert not attempts.is_blocked("b", 3.0)
    assert not attempts.is_blocked("a", 61.0)
    for address in "bcd":
        attempts.failed(address, "wrong", 3.0)
    assert not attempts.is_blocked("a", 3.0), "the oldest are forgotten"


def test_the_same_wrong_token_again_is_no_attempt():
    attempts = Attempts(count=3, seconds=60.0)
    for t in range(50):
        attempts.failed("a", "of an earlier start", float(t))
    assert not attempts.is_blocked("a", 50.0)
