"""What the released code draws from."""

from apo_trainer.config import TrainingConfig
from apo_trainer.methods.apo_released import ApoReferenceCompat, is_kept


def test_desirable_policy_steps_are_part_of_the_expert_share(training_data, drawn):
    data = training_data("EE", "PPPPPPUUHH")
    sampler = ApoReferenceCompat(data, TrainingConfig(batch_size=8)).sampler
    assert sampler.counts == {"EXPERT": 4, "HUMAN": 2, "UNDESIRABLE": 2}
    letters = "".join(drawn(data, sampler.batch(step)) for step in range(2))
    assert sorted(letters) == sorted("EEPPPPPP" + "HHHH" + "UUUU")


def test_steps_with_next_to_no_motion_and_out_of_range_are_dropped(training_data, contract):
    kept = [is_kept(training_data("H", action=value).train[0], contract) for value in (0.5, 0.008, 0.009, 1.0, 1.01)]
    # 6 * 0.008 = 0.048
    assert kept == [True, False, True, True, False]


def test_filtered_samples_are_noted(training_data):
    sampler = ApoReferenceCompat(training_data("EEEE", "UUHH"), TrainingConfig(batch_size=8)).sampler
    assert sampler.notes == []
    still = training_data("HH", action=0.0).train
    data = training_data("EEEE", "UUHH")
    mixed = type(data)(data.train + still, (), (), (), (), data.contract)
    sampler = ApoReferenceCompat(mixed, TrainingConfig(batch_size=8)).sampler
    assert sampler.notes == ["2 samples were filtered as the released code does"]
