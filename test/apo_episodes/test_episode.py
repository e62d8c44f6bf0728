from apo_core.types import StepLabel
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode


def test_derived_quantities(write):
    episode = read_episode(write("PPHP"), images=False)
    assert episode.images == {}
    assert episode.takeovers == [2]
    assert episode.intervention_share == 0.25
    assert episode.labels(LabelRule(undesirable_steps=1)) == [
        StepLabel.DESIRABLE,
        StepLabel.UNDESIRABLE,
        StepLabel.CORRECTED,
        StepLabel.DESIRABLE,
    ]
