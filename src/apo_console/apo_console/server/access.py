"""Who is let in: token, Host and Origin; and how much a client may send. Pure; time is passed in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections import deque
from urllib.parse import urlsplit

_NAME = re.compile(r"[^\w .@-]")
_LOCAL = ("127.0.0.1", "localhost", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}

HEADERS = {
    # everything comes from this server; nothing is loaded from elsewhere, nothing may frame the page
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": "hid=(self), gamepad=(self)",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Access:
    """Checks of a request.

    Args:
        token: what a client must have.
        port: of the server.
        hosts: further names and addresses under which it is reached, without port.
        tls: whether the page is served by https.
    """

    def __init__(self, token: str, port: int, hosts: tuple[str, ...] = (), tls: bool = False):
        self._token = token.encode()
        self._scheme = "https" if tls else "http"
        names = [url_host(name) for name in (*_LOCAL, *hosts)]
        self._hosts = {f"{name}:{port}" for name in names}
        if port == _DEFAULT_PORTS[self._scheme]:
            self._hosts |= set(names)  # browsers leave it out
        self.cookie = f"apo_console_{port}"  # browsers do not keep the cookies of two ports apart

    def has_token(self, given: str | None) -> bool:
        """Whether it is the token; takes as long for any wrong one."""
        return hmac.compare_digest((given or "").encode("utf-8", "replace"), self._token)

    def host_fault(self, host: str | None) -> str:
        """Why a Host header is rejected (DNS rebinding); empty: it is one of this server's names."""
        if (host or "").lower() in self._hosts:
            return ""
        return f"Host {str(host)[:100]!r} is not one of this console's names: config/console.yaml, host_names"

    def origin_fault(self, origin: str | None) -> str:
        """Why an Origin header is rejected (another site's page); empty: the page is this server's."""
        try:
            parts = urlsplit(origin or "")
        except ValueError:
            parts = urlsplit("")
        if parts.scheme == self._scheme and parts.netloc.lower() in self._hosts and not parts.path:
            return ""
        return f"Origin {str(origin)[:100]!r} is not this console's"


def url_host(name: str) -> str:
    """A name or an address as browsers write it in an address: lower case, IPv6 in brackets."""
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.lower()
    return f"[{address}]" if address.version == 6 else str(address)


def viewer_name(given: str, number: int) -> str:
    """What others see of a viewer: at most 40 characters that no page interprets."""
    return _NAME.sub("", given).strip()[:40] or f"viewer {number}"


class RateLimit:
    """At most so many in so long a time.

    Args:
        count, seconds: the limit.
    """

    def __init__(self, count: int, seconds: float):
        self._count, self._seconds = count, seconds
        self._times: deque[float] = deque()

    def allows(self, now_s: float) -> bool:
        """Counts one more; whether it is within the limit."""
        while self._times and self._times[0] <= now_s - self._seconds:
            self._times.popleft()
        if len(self._times) >= self._count:
            return False
        self._times.append(now_s)
        return True


class Attempts:
    """Wrong tokens of each address.

    The same one again is no further attempt: a page that was open when the console restarted sends its cookie for ever.

    Args:
        count, seconds: after so many wrong ones in so long a time an address is rejected unread.
        addresses: that are remembered.
    """

    def __init__(self, count: int = 20, seconds: float = 60.0, addresses: int = 1000):
        self._count, self._seconds, self._addresses = count, seconds, addresses
        self._times: dict[str, deque[tuple[float, bytes]]] = {}  # address -> times and hashes of its tokens

    def is_blocked(self, address: str, now_s: float) -> bool:
        """Whether the address has given too many wrong tokens of late."""
        times = self._times.get(address, deque())
        while times and times[0][0] <= now_s - self._seconds:
            times.popleft()
        return len(times) >= self._count

    def failed(self, address: str, token: str, now_s: float) -> None:
        """The address has given a wrong token."""
        times = self._times.pop(address, deque(maxlen=self._count))
        found = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        if found not in (before for _, before in times):
            times.append((now_s, found))
        self._times[address] = times  # the newest last
        while len(self._times) > self._addresses:
            self._times.pop(next(iter(self._times)))
