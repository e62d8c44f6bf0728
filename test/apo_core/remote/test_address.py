"""URLs, names and options of stores, before anything is opened."""

import importlib.util

import pytest

from apo_core.remote import address
from apo_core.remote.address import name_fault, parse_options, url_fault


@pytest.mark.parametrize("url", ["runs/store", "/mnt/store", "file:///mnt/x", "memory://x", "simplecache::memory://x"])
def test_urls_of_what_is_installed(url):
    assert url_fault(url) == ""


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "must have no spaces and at least one character"),
        ("/mnt/my store", "must have no spaces and at least one character"),
        ("s3:/bucket", "must have '//' behind 's3:'"),
        ("file://", "names nothing behind '://'"),
        ("nowhere://x", "has the scheme 'nowhere', which fsspec does not know"),
    ],
)
def test_other_urls_name_what_is_wrong(url, fault):
    assert url_fault(url) == fault


def test_a_scheme_whose_package_is_missing_names_the_package(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(address, "find_spec", lambda name: None if name == "s3fs" else real(name))
    assert url_fault("s3://b/x") == (
        "needs the Python package 's3fs', which is missing (Install s3fs to access S3; requirements/store.in has it)"
    )


@pytest.mark.parametrize("name", ["arm1", "Arm.left_2-b", "a" * 128])
def test_names_of_robots(name):
    assert name_fault(name) == ""


@pytest.mark.parametrize("name", ["", "arm/1", "arm 1", ".arm", "a" * 129])
def test_other_names_are_rejected(name):
    assert name_fault(name).startswith("must have 1 to 128 letters")


def test_options_are_names_and_values():
    assert parse_options(["endpoint_url=http://h:9000", "a=b=c"]) == {"endpoint_url": "http://h:9000", "a": "b=c"}
    with pytest.raises(ValueError, match=r"^anon: must be NAME=VALUE$"):
        parse_options(["anon"])
