"""The page about episode files lists what the schema lists, and files hold nothing else."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from apo_core.types import ControlSource
from apo_episodes.compaction import CompactSettings, compact_episode
from apo_episodes.hdf5.checksums import dataset_names
from apo_episodes.hdf5.schema import SCHEMA, SCHEMA_MINOR, SCHEMA_VERSION, SOURCES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "episode_format.md"


def described() -> dict[str, str]:
    """{dataset: dtype} of the page's table."""
    section = PAGE.read_text().partition("## Datasets")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", section, re.MULTILINE)
    return {name: dtype.strip() for name, dtype in rows}


def test_the_page_describes_every_dataset():
    page = described()
    assert set(page) == set(SCHEMA)
    for name, (dtype, _) in SCHEMA.items():
        assert page[name].startswith({"image": "uint8, uint16"}.get(dtype, dtype)), name


def test_the_page_is_of_this_version():
    text = " ".join(PAGE.read_text().split())  # lines may break anywhere
    assert f"schema version {SCHEMA_VERSION}.{SCHEMA_MINOR}" in text


def test_the_code_of_a_source_is_its_place():
    assert {str(source): code for code, source in enumerate(ControlSource)} == SOURCES


@pytest.mark.parametrize("images", ["images", "jpeg", "video"])
def test_a_file_holds_the_datasets_of_the_schema(write, write_film, with_facts, images):
    path = write("PHO", change=with_facts, compression="jpeg" if images == "jpeg" else "zstd")
    if images == "video":
        path = write_film("PPHPO", folder=path.parent / "video")
        assert compact_episode(path, CompactSettings(), datetime(2026, 3, 1, tzinfo=UTC)).is_new
    patterns = {name: re.compile(re.sub(r"<\w+>", r"[^/]+", name)) for name in SCHEMA}
    with h5py.File(path) as f:
        found = {
            name: [key for key, pattern in patterns.items() if pattern.fullmatch(name)] for name in dataset_names(f)
        }
        dtypes = {name: f[name].dtype for name in found}
    assert all(len(keys) == 1 for keys in found.values()), found
    missing = set(SCHEMA) - {key for keys in found.values() for key in keys}
    kept = {images} | ({"images"} if images == "video" else set())  # depth images are never video
    others = {"images", "jpeg", "video"} - kept
    assert missing == {name for name in SCHEMA if name.split("/")[1] in others}
    for name, (key,) in found.items():
        dtype = SCHEMA[key][0]
        if dtype not in ("image", "enum", "str"):
            assert dtypes[name] == np.dtype(dtype), name


def test_unknown_optional_facts_have_no_dataset(write):
    path = write("PH", change=lambda _, step: replace(step, policy_tokens=None, task_remaining=None, task_stages=None))
    with h5py.File(path) as f:
        names = set(dataset_names(f))
    assert not names & {name for name, (_, meaning) in SCHEMA.items() if "optional" in meaning}
