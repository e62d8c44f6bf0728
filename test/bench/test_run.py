"""The runner of the benchmarks: lines become a file and a table, a failure an exit status."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench"
FIGURE = {
    "name": "speed",
    "value": 2.0,
    "unit": "x",
    "goal": 3.0,
    "at_most": False,
    "n": 4,
    "baseline": 1.0,
    "ratio": 2.0,
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    for name in ("run.py", "figure.py"):
        (folder / name).write_text((BENCH / name).read_text())
    command = [sys.executable, str(folder / "run.py"), "--output", str(folder / "out.jsonl"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_figures_go_to_the_file_and_the_table(tmp_path):
    (tmp_path / "bench_one.py").write_text(f"print('warming up')\nprint('''{json.dumps(FIGURE)}''')")
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [FIGURE | {"met": False}]
    assert "MISSED" in done.stdout
    assert "warming up" in done.stderr


def test_benchmarks_that_fail_or_print_no_figure_are_errors_of_their_own(tmp_path):
    (tmp_path / "bench_bad.py").write_text("raise SystemExit(3)")
    (tmp_path / "bench_mute.py").write_text("")
    (tmp_path / "bench_one.py").write_text(f"print('''{json.dumps(FIGURE)}''')")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "bench_bad.py ended with status 3 and 0 figures" in done.stderr
    assert "bench_mute.py ended with status 0 and 0 figures" in done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


def test_one_without_its_hardware_is_named_and_is_no_failure(tmp_path):
    (tmp_path / "bench_gpu.py").write_text("print('skipped: no GPU')\nraise SystemExit(77)")
    (tmp_path / "bench_one.py").write_text(f"print('''{json.dumps(FIGURE)}''')")
    done = run(tmp_path)
    assert done.returncode == 0
    assert "skipped: no GPU" in done.stderr
    assert "bench_gpu.py was skipped" in done.stderr


def test_one_by_name(tmp_path):
    (tmp_path / "bench_one.py").write_text(f"print('''{json.dumps(FIGURE)}''')")
    assert run(tmp_path, "--only", "one").returncode == 0
    assert "no benchmark 'two'; known: one" in run(tmp_path, "--only", "two").stderr
