import json
import os
import shutil
import subprocess
import sys

import cv2
import h5py
import pytest

from apo_core.types import EpisodeKind, Outcome
from apo_episodes.cli.cli import main
from apo_episodes.reader import read_episode
from apo_episodes.writer import EpisodeWriter

TOOLS = [
    "ls",
    "ledger",
    "show",
    "validate",
    "recover",
    "relabel",
    "split",
    "merge",
    "filter",
    "view",
    "stats",
    "compact",
    "push",
    "pull",
    "export",
    "import",
]


@pytest.fixture
def run(capsys):
    """(arguments) -> (exit status, stdout, stderr)."""

    def call(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.mark.parametrize("arguments", [[], *([tool] for tool in TOOLS), ["export", "lerobot"], ["export", "mcap"]])
def test_every_tool_explains_itself(capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {' '.join(['apo episodes', *arguments])}")
    if not arguments:
        assert all(f"\n    {tool} " in text for tool in TOOLS)


@pytest.mark.parametrize(
    "arguments", [[], ["sort"], ["ls"], ["split", "a"], ["export", "zip", "a"], ["ls", "a", "--x"]]
)
def test_wrong_usage_ends_with_2(arguments):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2


@pytest.mark.parametrize("tool", ["ls", "ledger", "show", "validate", "relabel", "stats", "filter"])
def test_a_missing_file_is_named(run, tmp_path, tool):
    path = tmp_path / "none.h5"
    assert run(tool, path) == (2, "", f"apo episodes {tool}: {path}: does not exist\n")


def test_ls(run, takeovers):
    status, out, _ = run("ls", takeovers)
    assert status == 0
    assert out.splitlines()[1].split()[:5] == ["lift-10003", "interaction", "SUCCESS", "33", "1.6"]
    status, out, _ = run("ls", "--json", takeovers)
    assert [row["steps"] for row in json.loads(out)] == [33, 40, 48, 43]


def test_ledger(run, takeovers):
    status, out, _ = run("ledger", takeovers)
    assert status == 0 and out.splitlines()[0].startswith("adapter")
    status, out, _ = run("ledger", "--json", takeovers)
    found = json.loads(out)
    # four episodes of 33, 40, 48 and 43 steps at 20 Hz
    assert sum(each["episodes"] for each in found) == 4
    assert sum(each["watched_s"] for each in found) == pytest.approx((33 + 40 + 48 + 43) / 20)


def test_ls_goes_on_after_a_file_it_cannot_read(run, write, tmp_path):
    good = write()
    bad = tmp_path / "episodes" / "bad.h5"
    bad.write_bytes(b"no HDF5")
    status, out, err = run("ls", tmp_path / "episodes")
    assert status == 2
    assert good.stem in out and "1 episodes" in out
    assert err.startswith(f"apo episodes ls: {bad}: ")


def test_show(run, takeovers):
    status, out, _ = run("show", takeovers / "lift-10003.h5", "--undesirable-steps", "3", "--json")
    (facts,) = json.loads(out)
    assert status == 0
    assert facts["labels"] == {"DESIRABLE": 15, "CORRECTED": 15, "UNDESIRABLE": 3, "UNUSED": 0}
    status, out, _ = run("show", takeovers / "lift-10003.h5")
    assert "takeover_steps      12" in out


def test_a_wrong_rule_is_reported_with_its_limit(run, takeovers):
    status, _, err = run("relabel", takeovers, "--undesirable-steps", "-1")
    assert status == 2 and "undesirable_steps = -1 is below its limit 0" in err


def test_a_rule_of_windows_is_given_by_options(run, takeovers, tmp_path, monkeypatch):
    options = ("--undesirable-rule", "disagreement", "--undesirable-max-steps", "4", "--disagreement-tolerance", "0.05")
    status, out, _ = run("show", takeovers / "lift-10003.h5", *options, "--json")
    (facts,) = json.loads(out)
    assert status == 0
    assert facts["undesirable_windows"] == [
        {"start": 8, "end": 12, "rule": "disagreement", "fallback": False, "steps": 4}
    ]
    assert facts["labels"]["UNDESIRABLE"] == 4
    assert facts["label_rule"]["disagreement_tolerance"] == 0.05
    out = run("stats", takeovers, *options)[1]
    assert "4 windows of undesirable steps by disagreement: 4 to 4 steps, median 4; 0 fell back" in out
    monkeypatch.chdir(tmp_path)
    for name, rule in (("a.png", options), ("b.png", ("--undesirable-steps", "4")), ("c.png", ())):
        assert run("view", takeovers / "lift-10003.h5", "--sheet", name, *rule)[0] == 0
    pictures = [(tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png")]
    assert pictures[0] == pictures[1] != pictures[2]


def test_validate(run, write, tmp_path):
    good, bad = write(episode_id="good"), write(episode_id="bad")
    assert run("validate", good)[:2] == (0, f"ok    {good}\n1 files, 0 with faults\n")
    with h5py.File(bad, "r+") as f:
        f["control/adapter_version"][0] = 9
    status, out, _ = run("validate", good.parent)
    assert status == 2
    assert f"FAULT {bad}\n      fault: checksums: 'control/adapter_version'" in out
    status, out, _ = run("validate", "--json", good.parent)
    assert [(entry["valid"], len(entry["faults"])) for entry in json.loads(out)] == [(False, 1), (True, 0)]
    assert status == 2


def test_recover(run, tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path / "episodes", make_info("crashed"), small_contract)
    for tick in range(1, 6):
        writer.append(make_step(tick))
    writer.abandon()
    status, out, _ = run("recover", tmp_path / "episodes")
    path = tmp_path / "episodes" / "crashed.h5"
    assert (status, out) == (0, f"{path}  5 steps\n")
    assert read_episode(path).outcome.outcome == Outcome.UNLABELED
    assert run("recover", tmp_path / "episodes") == (0, "nothing to recover\n", "")


def test_recover_names_what_it_cannot(run, tmp_path):
    assert run("recover", tmp_path / "none")[0] == 2
    journal = tmp_path / "a.journal"
    journal.write_bytes(b"no journal")
    status, _, err = run("recover", journal)
    assert status == 2 and str(journal) in err
    assert journal.read_bytes() == b"no journal"


def test_relabel_changes_no_file(run, takeovers, tmp_path):
    copies = tmp_path / "copies"
    shutil.copytree(takeovers, copies)
    before = {path.name: path.read_bytes() for path in copies.iterdir()}
    status, out, _ = run("relabel", copies, "--undesirable-steps", "5", "--output", tmp_path / "labels.json")
    assert status == 0
    assert out.splitlines()[0].split() == ["episode", "desirable", "corrected", "undesirable", "unused"]
    assert out.splitlines()[-1].split() == ["total", "52", "92", "20", "0"]
    assert json.loads((tmp_path / "labels.json").read_text())["rule"]["undesirable_steps"] == 5
    assert {path.name: path.read_bytes() for path in copies.iterdir()} == before


def test_split_into_parts_and_merge(run, takeovers, tmp_path):
    parts = tmp_path / "parts"
    status, out, _ = run("split", takeovers, "--part", "valid=0.25", "--part", "train=0.75", "--output", parts)
    assert (status, out) == (0, f"{parts / 'valid'}  1 episodes\n{parts / 'train'}  3 episodes\n")
    status, out, _ = run("merge", parts / "valid", parts / "train", "--output", tmp_path / "all", "--link")
    assert (status, out) == (0, f"{tmp_path / 'all'}  4 episodes\n")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(p.name for p in takeovers.iterdir())


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("train", "--part train: must be NAME=VALUE"),
        ("train=most", "the share is not a number"),
        ("../x=0.5", "the name is not that of a folder"),
        (".x=0.5", "the name is not that of a folder"),
        ("train=1.5", "shares must be above 0 and at most 1 in sum"),
    ],
)
def test_wrong_parts_are_rejected(run, takeovers, tmp_path, part, message):
    status, _, err = run("split", takeovers, "--part", part, "--output", tmp_path / "out")
    assert status == 2 and message in err
    assert list(tmp_path.iterdir()) == []


def test_a_name_given_twice_is_rejected(run, takeovers, tmp_path):
    parts = ("--part", "train=0.9", "--part", "train=0.1")
    status, _, err = run("split", takeovers, *parts, "--output", tmp_path / "out")
    assert status == 2 and "--part train=0.1: train is given twice" in err
    assert list(tmp_path.iterdir()) == []


def test_split_at_steps(run, takeovers, tmp_path):
    status, out, _ = run("split", takeovers / "lift-10003.h5", "--at", 10, 20, "--output", tmp_path / "out")
    assert status == 0
    assert [read_episode(line, images=False).num_steps for line in out.splitlines()] == [10, 10, 13]
    status, _, err = run("split", takeovers, "--at", 10, "--output", tmp_path / "more")
    assert status == 2 and "--at cuts one episode, 4 are given" in err


def test_filter(run, write, tmp_path):
    good = write("PPHP", "good")
    bad = write("PPPP", "bad", Outcome.FAILURE, operator="bob", created_utc="2026-02-01T10:00:00Z")
    folder = tmp_path / "episodes"
    assert run("filter", folder, "--outcome", "SUCCESS") == (0, f"{good}\n", "")
    assert run("filter", folder, "--operator", "bob") == (0, f"{bad}\n", "")
    assert run("filter", folder, "--untouched") == (0, f"{bad}\n", "")
    assert run("filter", folder, "--adapter", "2", "--until", "2026-01-02") == (0, f"{good}\n", "")
    assert run("filter", folder, "--since", "2026-02-01") == (0, f"{bad}\n", "")
    assert run("filter", folder, "--tag", "round=1", "--intervened") == (0, f"{good}\n", "")
    assert run("filter", folder, "--task", "Stack") == (0, "", "")
    status, out, _ = run("filter", folder, "--outcome", "SUCCESS", "--output", tmp_path / "chosen")
    assert (status, out) == (0, f"{tmp_path / 'chosen'}  1 episodes\n")
    assert [path.name for path in (tmp_path / "chosen").iterdir()] == ["good.h5"]
    assert "give a date like 2026-01-31" in run("filter", folder, "--since", "yesterday")[2]


def test_view_of_a_folder_asks_for_the_file(run, takeovers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = run("view", takeovers)
    assert (status, err) == (2, f"apo episodes view: {takeovers}: holds 4 episodes, view shows one: name its file\n")
    assert list(tmp_path.iterdir()) == []


def test_view(run, takeovers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("view", takeovers / "lift-10003.h5") == (0, "lift-10003.png\n", "")
    sheet = cv2.imread("lift-10003.png")
    assert run("view", takeovers / "lift-10003.h5", "--sheet", "small.png", "--columns", "2", "--rows", "1")[0] == 0
    small = cv2.imread("small.png")
    assert (sheet.shape[0], sheet.shape[1]) == (small.shape[0] * 4, small.shape[1] * 2)
    status, out, _ = run("view", takeovers / "lift-10003.h5", "--video", "v.mp4")
    assert (status, out) == (0, "v.mp4\n")
    assert cv2.VideoCapture("v.mp4").get(cv2.CAP_PROP_FRAME_COUNT) == 33


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sheet", "a.jpg"], "a.jpg: the name must end in .png"),
        (["--video", "none/a.mp4"], "its folder none does not exist"),
        (["--columns", "0"], "must be at least 1"),
    ],
)
def test_pictures_that_cannot_be_made_are_reported(run, takeovers, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    status, _, err = run("view", takeovers / "lift-10003.h5", *options)
    assert status == 2 and message in err
    assert list(tmp_path.iterdir()) == []


def test_stats(run, takeovers):
    status, out, _ = run("stats", takeovers, "--json", "--actions", "human")
    assert status == 0 and json.loads(out)["num_frames"] == 92
    assert run("stats", takeovers)[1].startswith("164 steps of 4 episodes")


def test_export_and_import_of_a_robomimic_file(run, write, tmp_path, small_contract):
    write("HHH", kind=EpisodeKind.DEMONSTRATION)
    data, contract = tmp_path / "data.hdf5", tmp_path / "contract.yaml"
    status, out, _ = run(
        "export", "robomimic", tmp_path / "episodes", "--output", data, "--env-args", '{"env_name": "X"}'
    )
    assert (status, out) == (0, f"{data}  1 demonstrations, 3 transitions\n")
    again = run("export", "robomimic", tmp_path / "episodes", "--output", data)
    assert again[0] == 2 and "exists already" in again[2]
    contract.write_text(small_contract.json)
    options = ["--contract", contract, "--state", "ee_pose=ee_pose", "--control-rate", "10", "--position-step", "0.1"]
    back = ["import", data, "--output", tmp_path / "back", "--instruction", "lift", "--rotation-step", "0.1", *options]
    status, out, err = run(*back)
    assert (status, out, err) == (0, f"{tmp_path / 'back'}  1 episodes\n", "")
    assert read_episode(tmp_path / "back" / "data-demo_0.h5").info.task == "X"
    assert run("import", tmp_path / "none", *back[2:])[0] == 2


def test_export_of_the_apo_layout(run, takeovers, tmp_path):
    status, out, _ = run("export", "apo", takeovers / "lift-10003.h5", "--output", tmp_path / "out", "--size", "0")
    assert (status, out) == (0, f"{tmp_path / 'out' / 'lift-10003.hdf5'}\n")


def test_env_args_may_be_a_file(run, takeovers, tmp_path):
    (tmp_path / "env.json").write_text('{"env_name": "Y"}')
    options = ["--output", tmp_path / "a.hdf5", "--env-args"]
    assert run("export", "robomimic", takeovers, *options, tmp_path / "env.json")[0] == 0
    with h5py.File(tmp_path / "a.hdf5") as f:
        assert json.loads(f["data"].attrs["env_args"]) == {"env_name": "Y"}
    for wrong in (tmp_path / "none.json", "[1]", "{"):
        status, _, err = run("export", "robomimic", takeovers, *options, wrong)
        assert status == 2 and "--env-args" in err


@pytest.mark.parametrize(("form", "package"), [("lerobot", "pyarrow"), ("mcap", "rosbags")])
def test_a_missing_package_is_reported_with_its_install(run, takeovers, tmp_path, monkeypatch, form, package):
    for name in ("pyarrow", "pyarrow.parquet", "rosbags", "rosbags.rosbag2", "rosbags.typesys"):
        monkeypatch.setitem(sys.modules, name, None)
    status, _, err = run("export", form, takeovers, "--output", tmp_path / "out")
    assert status == 2
    assert f"'{package}'" in err and "-r requirements/export.in" in err
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_enough_is_no_error(takeovers):
    program = "import sys; from apo_episodes.cli.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "show", str(takeovers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert err == ""


@pytest.mark.parametrize("form", ["robomimic", "apo"])
def test_a_full_disk_is_reported_in_a_line_and_leaves_nothing(run, takeovers, tmp_path, monkeypatch, form):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert run("export", form, takeovers, "--output", tmp_path / "out") == (
        2,
        "",
        "apo episodes export: [Errno 28] No space left on device\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "apo", "--size", "-1"], "--size: -1 must be 0 .. 4096"),
        (["export", "robomimic", "--valid-share", "10"], "--valid-share: 10 must be 0 .. 1"),
        (["split", "--part", "a=1", "--seed", "-1"], "--seed: -1 must be at least 0"),
        (["export", "robomimic", "--seed", "-1"], "--seed: -1 must be at least 0"),
        (["export", "lerobot", "--data-mb", "0"], "--data-mb: 0 must be at least 1"),
        (["import", "--instruction", "x", "--control-rate", "0"], "--control-rate: 0 must be at least 0.001"),
        (["import", "--instruction", "x", "--position-step", "-1"], "--position-step: -1 must be at least 1e-06"),
    ],
)
def test_numbers_beyond_their_limits_are_rejected(run, capsys, takeovers, tmp_path, arguments, message):
    with pytest.raises(SystemExit):
        run(*arguments, "--output", tmp_path / "out", takeovers)
    assert message in capsys.readouterr().err
