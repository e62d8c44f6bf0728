import pytest

from apo_bringup.session.report import (
    EpisodeRecord,
    ReloadRecord,
    SessionRecord,
    TrainingRecord,
    build_report,
    format_table,
)
from apo_core.types import Outcome, Purpose


def episode(purpose, round_index, seed, version, outcome, *, steps=40, takeovers=0, share=0.0):
    return EpisodeRecord(
        f"e{seed}_{version}",
        f"e{seed}.h5",
        purpose,
        round_index,
        seed,
        version,
        Outcome(outcome),
        steps,
        takeovers,
        share,
        80,
        1,
        2.0,
    )


def record() -> SessionRecord:
    return SessionRecord(
        config={"expert_seed": 90000},
        episodes=[
            episode(Purpose.DEPLOYMENT, 0, 1, 0, "SUCCESS", steps=30, takeovers=1, share=0.5),
            episode(Purpose.DEPLOYMENT, 0, 2, 0, "FAILURE", steps=90),
            episode(Purpose.RELOAD, 0, 3, 0, "SUCCESS"),
            episode(Purpose.EVALUATION, -1, 50, 0, "FAILURE"),
            episode(Purpose.EVALUATION, -1, 50, 1, "SUCCESS"),
        ],
        trainings=[TrainingRecord(0, "r0", "PUBLISHED", "", 1, 30, 5.0, ((10, 0.5), (30, 0.4)))],
        reloads=[ReloadRecord(1, True, "", 4, 0, 12.0, 1.5, 40.0)],
        ticks=200,
        ticks_missed=0,
        takeover_latency_p50_ms=3.0,
        takeover_latency_p99_ms=5.0,
    )


def test_rounds_count_deployment_only_and_weigh_the_share_by_steps():
    (row,) = build_report(record(), 0, 1)["rounds"]
    assert (row["episodes"], row["successes"], row["takeovers"], row["steps"]) == (2, 1, 1, 120)
    assert row["success_rate"] == 0.5
    assert row["intervention_share"] == pytest.approx(15 / 120)


def test_the_operators_time_is_counted_by_round():
    session = record()
    session.rate_hz = 10.0
    session.episodes += [
        episode(Purpose.DEPLOYMENT, 1, 4, 1, "SUCCESS", steps=50),
        episode(Purpose.DEPLOYMENT, 1, 5, 1, "UNLABELED", steps=10),
    ]
    report = build_report(session, 0, 1)
    first, second = report["ledger"]
    assert (first["adapter"], first["unaided"], first["labeled"], first["gain"]) == (0, 0, 2, None)
    assert (first["watched_s"], first["driven_s"]) == (12.0, 1.5)
    assert (second["adapter"], second["labeled"], second["watched_s"], second["driven_s"]) == (1, 1, 6.0, 0.0)
    assert second["gain"] == {"points": 100.0, "per_watched_minute": 500.0, "per_driven_minute": 4000.0}
    lines = format_table(report).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("operator's time by round"))
    assert lines[at + 2].split() == ["base", "policy", "2", "0%", "0%", "..", "66%", "1", "0.2", "0.0"]
    assert lines[at + 3].split() == ["1", "2", "100%", "21%", "..", "100%", "0", "0.1", "0.0", "+500.0", "+4000.0"]
    assert lines[at + 4] == "4 episodes, 0.3 min watched, 0.0 min driven"


def test_rounds_of_one_adapter_stay_apart():
    session = SessionRecord({}, [episode(Purpose.DEPLOYMENT, number, number, 0, "SUCCESS") for number in (0, 1)])
    assert [(row["adapter"], row["episodes"]) for row in build_report(session)["ledger"]] == [(0, 1), (0, 1)]


def test_base_and_final_are_evaluated_on_the_same_seeds():
    evaluation = build_report(record(), 0, 1)["evaluation"]
    assert evaluation["base"]["seeds"] == evaluation["final"]["seeds"] == [50]
    assert (evaluation["base"]["successes"], evaluation["final"]["successes"]) == (0, 1)


def test_counts_are_sums():
    report = build_report(record(), 0, 1)
    assert report["frames"] == {"recorded": 400, "lost": 5}
    assert report["control"]["reload_ticks"] == 4
    assert report["control"]["takeover_latency_ms"] == {"p50": 3.0, "p99": 5.0}
    assert report["train"]["steps"] == 30


def test_a_stopped_session_still_makes_a_report():
    stopped = SessionRecord(config={}, stopped="SIGINT received")
    table = format_table(build_report(stopped))
    assert "stopped early: SIGINT received; everything recorded so far is kept" in table
    assert "not evaluated" in table


def test_a_rejected_adapter_is_in_the_table():
    rejected = record()
    rejected.trainings[0] = TrainingRecord(0, "r0", "REJECTED", "held-out L1 rose", 0, 30, 5.0, ())
    assert "round 0: REJECTED: held-out L1 rose" in format_table(build_report(rejected, 0, 0))


def test_an_interrupted_episode_is_listed_but_not_counted():
    stopped = record()
    stopped.stopped = "SIGINT received"
    stopped.episodes.append(episode(Purpose.EVALUATION, -1, 51, 1, "UNLABELED", steps=7))
    report = build_report(stopped, 0, 1)
    assert report["episodes"][-1]["outcome"] == "UNLABELED"
    assert report["evaluation"]["final"]["n"] == 1
    assert report["evaluation"]["final"]["success_rate"] == 1.0
    assert report["seeds"]["evaluation"] == [50, 51]
    assert report["frames"] == {"recorded": 480, "lost": 6}
    assert "interrupted, kept without a label: evaluation episode e51_1, seed 51, 7 steps" in format_table(report)


def test_a_round_whose_only_episode_was_interrupted_has_no_row():
    stopped = SessionRecord({}, [episode(Purpose.DEPLOYMENT, 0, 1, 0, "UNLABELED")])
    report = build_report(stopped)
    assert report["rounds"] == []
    assert report["seeds"]["deployment"] == [1]
