import signal
from pathlib import Path

import pytest

from apo_bringup.session.conduct import SessionStopped
from apo_bringup.session.stop_watch import Watch
from apo_bringup.stack.supervision import ProgramState


@pytest.fixture
def handlers():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_session_at_its_next_check_and_not_before(handlers, number):
    watch = Watch(list, lambda: 0.0)
    watch.install()
    watch.check()
    signal.raise_signal(number)
    assert watch.signal_name == number.name
    for _ in range(2):
        with pytest.raises(SessionStopped, match=f"{number.name} received"):
            watch.check()


def test_a_dead_node_ends_the_session_with_the_end_of_its_log(tmp_path):
    log = tmp_path / "policy.log"
    log.write_text("".join(f"line {i}\n" for i in range(20)))
    watch = Watch(lambda: [ProgramState("policy", "EXITED", 2, log)], lambda: 0.0)
    with pytest.raises(SessionStopped) as error:
        watch.check()
    lines = str(error.value).splitlines()
    assert lines[0] == f"node 'policy' ended with status 2; {log}:"
    assert lines[1:] == [f"line {i}" for i in range(12, 20)]


def test_a_dead_node_without_a_log_is_named_as_well():
    watch = Watch(lambda: [ProgramState("policy", "FATAL", 0, Path("/none.log"))], lambda: 0.0)
    with pytest.raises(SessionStopped, match=r"node 'policy' ended with status 0; /none\.log:"):
        watch.check()


def test_the_programs_are_looked_at_twice_a_second():
    times, looks = [10.0], []
    watch = Watch(lambda: looks.append(times[0]) or [], lambda: times[0])
    for now in (10.0, 10.2, 10.49, 10.5, 10.7, 11.1):
        times[0] = now
        watch.check()
    assert looks == [10.0, 10.5, 11.1]
