import dataclasses
import json
import math

import pytest
from adapter_samples import CONFIG, MANIFEST

from apo_core.adapters.manifest import (
    CONFIG_FILE,
    EMITTED,
    MAX_BYTES,
    MAX_NUMBER,
    MODEL_FILE,
    REBINNED,
    SCHEMA_NAME,
    SCHEMA_VERSION,
    AdapterVersion,
    config_faults,
    document_faults,
    fields_of,
    folder_name,
    manifest_faults,
    upgraded,
)

ENTRY = {"bytes": 10, "sha256": "e" * 64}


def document(**changes) -> dict:
    """Content of a sound manifest.json of adapter 3, with changes."""
    sound = {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "number": 3,
        "files": {MODEL_FILE: ENTRY, CONFIG_FILE: ENTRY},
        **fields_of(MANIFEST),
    }
    return json.loads(json.dumps({**sound, **changes}))


def test_a_sound_manifest_has_no_fault():
    assert document_faults(document(), 3) == []


@pytest.mark.parametrize(("number", "name"), [(1, "000001"), (123456, "123456"), (MAX_NUMBER, "4294967295")])
def test_folders_sort_by_number(number, name):
    assert folder_name(number) == name


def test_the_makers_fields_are_those_without_number_and_adapter_config():
    version = AdapterVersion(**fields_of(MANIFEST), number=7, adapter_config=CONFIG)
    assert fields_of(version) == fields_of(MANIFEST)
    assert set(fields_of(version)) == {field.name for field in dataclasses.fields(MANIFEST)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "other"}, "schema is 'other' 3, this software reads 'apo.adapter' 1 to 3"),
        ({"schema_version": 4}, "schema is 'apo.adapter' 4"),
        ({"number": 4}, "number = 4 does not match the folder 000003"),
        ({"files": {MODEL_FILE: ENTRY}}, "files must list exactly"),
        ({"files": [MODEL_FILE, CONFIG_FILE]}, "files must list exactly"),
        ({"files": {MODEL_FILE: ENTRY, CONFIG_FILE: 10}}, f"files.{CONFIG_FILE} must hold bytes and sha256"),
        (
            {"files": {MODEL_FILE: ENTRY, CONFIG_FILE: {**ENTRY, "bytes": MAX_BYTES[CONFIG_FILE] + 1}}},
            f"files.{CONFIG_FILE}.bytes = 1048577 must be 1..1048576",
        ),
        ({"files": {MODEL_FILE: {**ENTRY, "bytes": 0}, CONFIG_FILE: ENTRY}}, "bytes = 0 must be"),
        ({"files": {MODEL_FILE: {**ENTRY, "bytes": True}, CONFIG_FILE: ENTRY}}, "bytes = True must be"),
        ({"files": {MODEL_FILE: {**ENTRY, "sha256": "E" * 64}, CONFIG_FILE: ENTRY}}, "sha256 is not a sha256"),
        ({"parent": 3}, "parent = 3 must be below number = 3"),
        ({"parent": -1}, "parent = -1 must be 0"),
        ({"episode_ids": ["a", ""]}, "episode_ids must be a list of texts"),
        ({"metrics": {"loss": [1, {"a": "b"}]}}, ""),
        ({"self_test": []}, "self_test must be null or an object"),
        ({"verdict": {"accepted": False}}, "verdict.accepted = False must be true"),
        ({"verdict": {}}, "verdict.accepted = None must be true"),
        ({"action_labels": "guessed"}, "action_labels = 'guessed' must be 'emitted' or 'rebinned'"),
    ],
)
def test_each_fault_of_a_manifest_is_reported(changes, message):
    faults = document_faults(document(**changes), 3)
    assert len(faults) == bool(message)
    assert not message or message in faults[0]


def test_missing_and_unknown_fields_are_reported_together():
    content = document(colour="red")
    del content["method"], content["files"]
    assert document_faults(content, 3) == ["files is missing", "method is missing", "colour is unknown"]


def test_all_faults_are_reported_at_once():
    faults = manifest_faults(
        {**fields_of(MANIFEST), "parent": True, "method": "", "config_sha256": "x", "config": None}
    )
    assert [fault.split(" ")[0] for fault in faults] == ["parent", "config_sha256", "method", "config"]


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: "key"}, object(), b"bytes", [[math.nan]]])
def test_values_that_json_does_not_keep_are_rejected(value):
    assert manifest_faults({**fields_of(MANIFEST), "metrics": {"value": value}})
    assert config_faults({**CONFIG, "value": value}) == ["it must hold plain finite JSON values only"]


@pytest.mark.parametrize(("rank", "is_sound"), [(1, True), (1024, True), (0, False), (1025, False), (True, False)])
def test_the_rank_has_a_range(rank, is_sound):
    assert (config_faults({**CONFIG, "r": rank}) == []) == is_sound


def test_manifests_of_earlier_versions_get_what_they_lack():
    first = {name: value for name, value in document(schema_version=1).items() if name not in ("config", "verdict")}
    del first["action_labels"]
    later = upgraded(first)
    assert (later["config"], later["verdict"], later["action_labels"]) == ({}, None, REBINNED)
    assert document_faults(later, 3) == []
    assert upgraded(document(schema_version=2))["action_labels"] == EMITTED  # what is there is kept


@pytest.mark.parametrize("version", [True, 1.0, "1", None, 0, 99])
def test_an_unknown_version_is_not_upgraded(version):
    content = document(schema_version=version)
    assert upgraded(content) == content
