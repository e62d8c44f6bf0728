import json
from dataclasses import replace

from apo_core.types import EpisodeKind, EpisodeOutcome, Outcome
from apo_episodes.inspection.table import describe, format_description, format_table, summarise
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode
from apo_episodes.writer import EpisodeWriter


def test_a_row_counts_what_the_episode_holds(write):
    row = summarise(read_episode(write("PPHHP", losses={"frames_recorded": 5, "frames_lost": 2}), images=False))
    assert (row.episode_id, row.kind, row.task, row.outcome) == ("e1", "INTERACTION", "Lift", "SUCCESS")
    assert (row.steps, row.seconds, row.takeovers, row.intervention_share) == (5, 0.5, 1, 0.4)
    assert (row.adapter_versions, row.operator, row.missed_ticks) == ((2,), "ann", 0)
    assert row.losses == {"frames_recorded": 5, "frames_lost": 2}


def test_missing_ticks_are_counted(write):
    path = write("PPPP", change=lambda i, step: replace(step, tick=step.tick + (3 if i > 1 else 0)))
    assert summarise(read_episode(path, images=False)).missed_ticks == 3


def test_a_demonstration_has_no_takeover(write):
    row = summarise(read_episode(write("HHH", kind=EpisodeKind.DEMONSTRATION), images=False))
    assert (row.kind, row.takeovers, row.intervention_share) == ("DEMONSTRATION", 0, 1.0)


def test_an_empty_episode_is_listed(write):
    row = summarise(read_episode(write("", outcome=Outcome.UNLABELED), images=False))
    assert (row.steps, row.seconds, row.missed_ticks, row.adapter_versions) == (0, 0.0, 0, ())


def test_the_table_names_losses_and_adds_up(write):
    rows = [
        summarise(read_episode(path, images=False))
        for path in (
            write("PPHH", "good", losses={"frames_recorded": 4}),
            write("PPPP", "bad", Outcome.FAILURE, losses={"frames_recorded": 4, "frames_lost": 3, "commands_lost": 0}),
        )
    ]
    head, good, bad, total = format_table(rows).splitlines()
    assert head.split() == [
        "episode",
        "kind",
        "outcome",
        "steps",
        "seconds",
        "takeovers",
        "human",
        "adapter",
        "operator",
        "losses",
    ]
    assert good.split() == ["good", "interaction", "SUCCESS", "4", "0.4", "1", "50%", "2", "ann", "0"]
    assert bad.split()[-1] == "frames_lost=3"
    assert total == "2 episodes (1 FAILURE, 1 SUCCESS), 8 steps, 0.8 s, 1 takeovers, 25% by the operator"


def test_a_description_holds_facts_and_labels(write):
    facts = describe(read_episode(write("PPPHO"), images=False), LabelRule(undesirable_steps=2))
    assert facts["sources"] == {"POLICY": 3, "HUMAN": 1, "HOLD": 1}
    assert facts["labels"] == {"DESIRABLE": 1, "CORRECTED": 1, "UNDESIRABLE": 2, "UNUSED": 1}
    assert facts["takeover_steps"] == [3]
    assert facts["reasons"]["because 1"] == 1
    assert facts["images"] == {"front": [5, 4, 6]}
    assert facts["state"]["width"] == {"size": 1, "unit": "m"}
    assert facts["tags"] == {"round": "1"}
    assert json.loads(json.dumps(facts))["instruction"] == "lift the cube"
    assert "takeover_steps      3" in format_description(facts)


def test_a_description_holds_why_steps_are_missing(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    writer.append(make_step(1))
    done = EpisodeOutcome(Outcome.SUCCESS, "test", terminated=True, truncated=False)
    path = writer.finish(done, rejections={"state 'width' is not finite": 161})
    facts = describe(read_episode(path, images=False), LabelRule())
    assert facts["rejections"] == {"state 'width' is not finite": 161}
    assert "state 'width' is not finite" in format_description(facts)


def test_a_description_counts_the_optional_facts(write, with_facts):
    facts = describe(read_episode(write("PPPP", change=with_facts), images=False), LabelRule())
    assert (facts["schema"], facts["policy_token_steps"]) == ("2.3", 2)
    assert facts["task_remaining"] == {"first": 0.125, "last": 0.375, "steps": 3}
    bare = describe(read_episode(write("PPPP", "e2"), images=False), LabelRule())
    assert (bare["policy_token_steps"], bare["task_remaining"]) == (0, {})
    assert "task_remaining      -" in format_description(bare)


def test_a_description_lists_the_windows_of_undesirable_steps(write):
    episode = read_episode(write("PPPHPH"), images=False)
    facts = describe(episode, LabelRule(undesirable_steps=2, undesirable_rule="stalled"))
    # the file has no progress
    assert facts["undesirable_windows"] == [
        {"start": 1, "end": 3, "rule": "last_k", "fallback": True, "steps": 2},
        {"start": 4, "end": 5, "rule": "last_k", "fallback": True, "steps": 1},
    ]
    text = format_description(facts)
    assert "2 steps from 1 by last_k (fallback), 1 steps from 4 by last_k (fallback)" in text
    none = format_description(describe(read_episode(write("PP", "e2"), images=False), LabelRule()))
    assert "undesirable_windows -" in none
