"""The recorder's process under the operator's buttons, and an episode that is taken back."""

from recorder_cell import HUMAN, POLICY

from apo_episodes.inspection.ledger import rounds
from apo_episodes.inspection.table import summarise
from apo_episodes.reader import read_episode


def test_events_of_the_operator_start_end_and_undo_episodes(launch, cell, episodes):
    launch()
    cell.press("start")
    cell.event("STARTED")
    for tick in range(1, 4):
        cell.tick(tick)
    cell.wait_taken(3)
    cell.press("success")
    saved = cell.event("SAVED")
    assert (saved.outcome, saved.reason, saved.steps) == ("SUCCESS", "operator_success", 3)
    cell.press("undo_last")
    assert "kept in" in cell.event("DISCARDED").reason
    assert episodes() == []
    cell.press("start")
    cell.spin_until(lambda: cell.count("STARTED") == 2)
    cell.tick(4)
    cell.wait_taken(4)
    cell.press("discard")
    cell.spin_until(lambda: cell.count("DISCARDED") == 2)
    assert episodes() == []


def test_buttons_can_be_switched_off(launch, cell):
    cell.publishers.remove(cell.operator)
    launch(buttons=False)
    cell.press("start")
    for _ in range(5):
        assert cell.end().message == "no episode is being recorded"
    assert cell.events == []


def test_last_episode_is_taken_back_by_the_service(launch, cell, episodes, tmp_path):
    launch()
    rejected = cell.undo()
    assert not rejected.success and "no episode was saved yet" in rejected.message
    for tick in (1, 2):
        cell.start()
        cell.tick(tick)
        assert cell.end(until=tick).accepted
    first, second = episodes()
    undone = cell.undo()
    assert undone.success and second.info.episode_id in undone.message
    assert [episode.path for episode in episodes()] == [first.path]
    assert read_episode(tmp_path / "episodes" / ".discarded" / second.path.name).ticks.tolist() == [2]


def test_the_ledger_has_the_time_of_the_operator(launch, cell, episodes):
    launch()
    cell.spin_until(lambda: cell.ledgers, "the ledger of a recorder without episodes")
    assert (cell.ledgers[0].episode_id, list(cell.ledgers[0].rounds)) == ("", [])
    cell.start()
    for tick, source in enumerate([POLICY, HUMAN, HUMAN, POLICY], 1):
        cell.tick(tick, source)
    cell.end(until=4)
    cell.start()
    cell.tick(5)
    cell.end("FAILURE", until=5)
    cell.spin_until(lambda: len(cell.ledgers) == 3, "the ledger of two episodes")
    first, both = cell.ledgers[1:]
    assert (first.episode_id, first.watched_s, first.driven_s) == (cell.event("SAVED").episode_id, 0.4, 0.2)
    assert (both.watched_s, both.driven_s) == (0.1, 0.0)
    (total,) = both.rounds
    counts = total.adapter_version, total.episodes, total.labeled, total.unaided, total.takeovers
    assert (counts, total.watched_s, total.driven_s) == ((4, 2, 2, 0, 1), 0.5, 0.2)
    (of_files,) = rounds(map(summarise, episodes()))
    assert (of_files.adapter, of_files.watched_s, of_files.driven_s) == (4, 0.5, 0.2)
    assert cell.undo().success
    cell.spin_until(lambda: len(cell.ledgers) == 4, "the ledger after an episode was taken back")
    taken_back = cell.ledgers[3]
    assert (taken_back.episode_id, [each.episodes for each in taken_back.rounds]) == ("", [1])
