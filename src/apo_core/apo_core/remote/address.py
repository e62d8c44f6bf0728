"""Whether a URL, a name and options can be those of a store, before anything is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec

from apo_core.remote.chunk_store import NAME

_ONE_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!//|:)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?=://|::)")
_REQUIRED = ("s3fs",)  # packages of requirements/store.in


def url_fault(url: str) -> str:
    """Why no store can be at a URL here, as the rest of a sentence; empty: one can. It loads no library of a scheme."""
    if not url or re.search(r"[\s\x00-\x1f]", url):
        return "must have no spaces and at least one character"
    if _ONE_SLASH.match(url):
        return f"must have '//' behind '{url.partition(':')[0]}:'"
    if "://" in url and not url.partition("://")[2]:
        return "names nothing behind '://'"
    try:
        from fsspec.registry import available_protocols, known_implementations
    except ImportError:
        return "needs the Python package 'fsspec': pip install -c requirements/lock.txt -r requirements/runtime.in"
    for scheme in _SCHEME.findall(url):
        if scheme in known_implementations:
            # s3fs.S3FileSystem: the package, which is not loaded
            package = str(known_implementations[scheme]["class"]).partition(".")[0]
            if find_spec(package) is None:
                advice = str(known_implementations[scheme].get("err", f"install {package}"))
                advice += "; requirements/store.in has it" if package in _REQUIRED else ""
                return f"needs the Python package '{package}', which is missing ({advice})"
        elif scheme not in available_protocols():
            return f"has the scheme '{scheme}', which fsspec does not know"
    return ""


def name_fault(name: str) -> str:
    """Why a robot cannot have a name in a store, as the rest of a sentence; empty: it can."""
    if NAME.fullmatch(name):
        return ""
    return "must have 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit"


def parse_options(texts: Iterable[str]) -> dict[str, str]:
    """{name: value} of NAME=VALUE texts.

    Raises:
        ValueError: names the first that is not.
    """
    options = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ValueError(f"{text}: must be NAME=VALUE")
        options[name] = value
    return options
