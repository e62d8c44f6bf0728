"""Output that never waits for its reader, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

WAIT_S = 30.0
BEGIN = "import os, sys\nfrom apo_teleop.nonblocking_output import nonblocking_output\n"


@pytest.fixture
def start():
    """(code) -> a process that runs it, its output in two pipes."""
    processes = []

    def launch(code: str) -> subprocess.Popen:
        command = [sys.executable, "-c", BEGIN + code]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        processes.append(subprocess.Popen(command, text=True, **pipes))
        return processes[-1]

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


def test_all_of_it_arrives_where_somebody_reads(start):
    lines = "for i in range(500): os.write(2, b'line %d\\n' % i)"
    process = start(
        f"with nonblocking_output():\n  print('out', flush=True)\n  {lines}\nprint('after', file=sys.stderr)"
    )
    out, err = process.communicate(timeout=WAIT_S)
    assert out == "out\n"
    assert err.splitlines() == [*(f"line {i}" for i in range(500)), "after"]


def test_a_reader_that_stops_stops_nobody(start, tmp_path: Path):
    done = tmp_path / "done"
    code = f"""
with nonblocking_output():
  dropped = 0
  for i in range(50_000):
    try: os.write(2, b'%08d\\n' % i)
    except BlockingIOError: dropped += 1
  open({str(done)!r}, 'w').write(str(dropped))
"""
    process = start(code)
    assert process.wait(WAIT_S) == 0  # nobody has read a byte
    assert int(done.read_text()) > 1000
    lines = process.stderr.read().splitlines()
    assert all(len(line) == 8 for line in lines[:-1]) and lines[:3] == ["00000000", "00000001", "00000002"]


def test_a_reader_that_is_gone_stops_nobody(start, tmp_path: Path):
    done = tmp_path / "done"
    code = f"""
sys.stdin.read()
with nonblocking_output():
  for i in range(50_000):
    try: os.write(2, b'%08d\\n' % i)
    except BlockingIOError: continue
open({str(done)!r}, 'w').close()
"""
    process = start(code)
    process.stderr.close()
    process.stderr = None
    process.stdin.close()
    process.stdin = None
    assert process.wait(WAIT_S) == 0 and done.exists()
