import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("supervisor", reason="supervisor is missing: run 'make setup'")

from apo_bringup.stack.supervision import Program, Supervisor

WAIT_S = 60.0  # limit of a wait for something that will come
# ends by SIGINT only, with a message
PATIENT = (
    "import signal, sys, pathlib; "
    "signal.signal(signal.SIGINT, lambda *_: (print('ended by SIGINT', flush=True), sys.exit(0))); "
    "print('ready', flush=True); signal.pause()"
)


def wait_for(condition, what: str):
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"{what} did not happen within {WAIT_S} s")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def supervisor(tmp_path):
    made = []

    def make(*programs: Program) -> Supervisor:
        made.append(Supervisor(programs, tmp_path / "log"))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def python(name: str, code: str, **environment: str) -> Program:
    return Program(name, [sys.executable, "-c", code], environment)


def test_stop_sends_sigint_and_keeps_the_log(supervisor, tmp_path):
    one = supervisor(python("patient", PATIENT))
    log = tmp_path / "log" / "patient.log"
    wait_for(lambda: log.exists() and "ready" in log.read_text(), "the start")
    one.stop()
    assert log.read_text().splitlines() == ["ready", "ended by SIGINT"]


def test_a_program_that_dies_is_reported_with_its_status_and_log(supervisor):
    one = supervisor(python("patient", PATIENT), python("broken", "print('no camera 100 %'); raise SystemExit(3)"))
    (dead,) = wait_for(one.dead, "the death of 'broken'")
    assert (dead.name, dead.exit_status) == ("broken", 3)
    assert dead.log.read_text() == "no camera 100 %\n"


def test_environment_and_special_characters_reach_the_program(supervisor, tmp_path):
    supervisor(python("echo", "import os; print(os.environ['TEXT'], '%s' % 'ok')", TEXT="a b%c"))
    log = tmp_path / "log" / "echo.log"
    wait_for(lambda: log.exists() and "\n" in log.read_text(), "the output")
    assert log.read_text() == "a b%c ok\n"


@pytest.mark.parametrize("word", ["lift # 3 ; now", 'it\'s "100 %"', "back\\slash", "", "é", "a; b #c", "%(x)s"])
def test_an_argument_reaches_the_program_as_it_is(supervisor, tmp_path, word):
    supervisor(Program("echo", [sys.executable, "-c", "import sys; print(repr(sys.argv[1:]))", word], {}))
    log = tmp_path / "log" / "echo.log"
    wait_for(lambda: log.exists() and "\n" in log.read_text(), "the output")
    assert log.read_text() == f"{[word]!r}\n"


def test_no_output_of_programs_and_supervisord_is_lost_in_a_file(tmp_path):
    script = (
        "from pathlib import Path; from apo_bringup.stack.supervision import Program, run_in_foreground; "
        f"program = Program('patient', [{sys.executable!r}, '-c', {PATIENT!r}], {{}}); "
        f"run_in_foreground([program], Path({str(tmp_path / 'log')!r}))"
    )
    output_file = tmp_path / "output.txt"
    with output_file.open("w") as output:
        runner = subprocess.Popen([sys.executable, "-c", script], stdout=output)
    try:
        wait_for(
            lambda: "entered RUNNING state" in output_file.read_text() and "ready" in output_file.read_text(),
            "the start",
        )
    finally:
        runner.send_signal(signal.SIGTERM)
        runner.wait()
    lines = output_file.read_text().splitlines()
    assert {"ready", "ended by SIGINT"} <= set(lines)
    assert sum("spawned: 'patient'" in line for line in lines) == 1
    assert not [line for line in lines if " CRIT " in line]


def in_foreground(folder: Path, *codes: str) -> subprocess.CompletedProcess:
    """The runner with a program for each code, until it ends by itself."""
    script = (
        "import sys; from pathlib import Path; from apo_bringup.stack.supervision import Program, run_in_foreground; "
        "made = [Program(f'p{i}', [sys.executable, '-c', code], {}) for i, code in enumerate(sys.argv[1:])]; "
        f"raise SystemExit(run_in_foreground(made, Path({str(folder / 'log')!r})))"
    )
    command = [sys.executable, "-c", script, *codes]
    return subprocess.run(command, capture_output=True, text=True, timeout=60.0, check=False)


def test_a_configuration_fault_is_not_started_again(tmp_path):
    tried = tmp_path / "tried"
    fault = f"import time; open({str(tried)!r}, 'a').write('x'); time.sleep(1.5); raise SystemExit(2)"
    done = in_foreground(tmp_path, fault)
    assert done.returncode == 2
    assert "apo up: p0 ended with status 2 and is not started again" in done.stderr
    assert tried.read_text() == "x"


def test_a_program_that_fails_at_once_is_tried_a_few_times(tmp_path):
    tried = tmp_path / "tried"
    done = in_foreground(tmp_path, f"open({str(tried)!r}, 'a').write('x'); raise SystemExit(2)")
    assert done.returncode == 1
    assert "apo up: p0 failed to start and is not started again" in done.stderr
    assert 1 < len(tried.read_text()) < 10


def test_a_crash_is_started_again_and_the_end_of_all_ends_the_runner(tmp_path):
    tried = tmp_path / "tried"
    crash_once = (
        f"import time; open({str(tried)!r}, 'a').write('x'); time.sleep(1.5); "
        f"raise SystemExit(1 if open({str(tried)!r}).read() == 'x' else 0)"
    )
    done = in_foreground(tmp_path, crash_once)
    assert done.returncode == 0
    assert tried.read_text() == "xx"


def test_a_program_that_does_not_end_is_killed_and_logged(tmp_path):
    blocked = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    )
    script = (
        "from pathlib import Path; from apo_bringup.stack.supervision import Program, run_in_foreground; "
        f"program = Program('blocked', [{sys.executable!r}, '-c', {blocked!r}], {{}}); "
        f"run_in_foreground([program], Path({str(tmp_path / 'log')!r}), stop_wait_s=1)"
    )
    output_file = tmp_path / "output.txt"
    with output_file.open("w") as output:
        runner = subprocess.Popen([sys.executable, "-c", script], stdout=output)
    try:
        wait_for(lambda: "ready" in output_file.read_text().splitlines(), "the start")
    finally:
        runner.send_signal(signal.SIGTERM)
        runner.wait(WAIT_S)
    lines = [line for line in output_file.read_text().splitlines() if "with SIGKILL" in line]
    assert lines and all("WARN killing 'blocked'" in line for line in lines)


def test_several_runners_share_a_folder_of_logs(tmp_path):
    script = (
        "import sys; from pathlib import Path; from apo_bringup.stack.supervision import Program, run_in_foreground; "
        "program = Program('echo', [sys.executable, '-c', f'print({sys.argv[1]!r}, flush=True)'], {}); "
        f"run_in_foreground([program], Path({str(tmp_path / 'log')!r}))"
    )
    files = [tmp_path / f"output{number}.txt" for number in range(4)]
    runners = []
    for number, file in enumerate(files):
        with file.open("w") as output:
            runners.append(subprocess.Popen([sys.executable, "-c", script, f"program {number}"], stdout=output))
    try:
        for file in files:
            wait_for(lambda file=file: re.search(r"^program \d\n", file.read_text(), re.MULTILINE), "the output")
    finally:
        for runner in runners:
            runner.send_signal(signal.SIGTERM)
        for runner in runners:
            runner.wait()
    for number, file in enumerate(files):
        lines = file.read_text().splitlines()
        assert {line for line in lines if line.startswith("program ")} == {f"program {number}"}
    # a configuration there would be one for all
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["supervisord.log"]


def test_kill_9_of_the_runner_leaves_no_process(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from apo_bringup.stack.supervision import Program, Supervisor; "
        f"program = Program('patient', [sys.executable, '-c', {PATIENT!r}], {{}}); "
        f"supervisor = Supervisor([program], Path({str(tmp_path / 'log')!r})); "
        "time.sleep(600)"
    )
    runner = subprocess.Popen([sys.executable, "-c", script])
    log = tmp_path / "log" / "patient.log"
    try:
        wait_for(lambda: log.exists() and "ready" in log.read_text(), "the start")
        children = [
            int(p.name)
            for p in Path("/proc").iterdir()
            if p.name.isdigit() and str(tmp_path) in (p / "cmdline").read_bytes().decode(errors="replace")
        ]
        assert children
    finally:
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait()
    wait_for(lambda: not any(alive(pid) for pid in children), "the end of supervisord")
    assert log.read_text().splitlines() == ["ready", "ended by SIGINT"]
