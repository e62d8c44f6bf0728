import numpy as np
import torch

from apo_vla.serving.feature_cache import FeatureCache


def test_the_same_inputs_as_the_call_before_are_not_computed_again():
    cache, computed = FeatureCache(), []

    def ask(slot, *levels):
        def compute():
            computed.append((slot, *levels))
            return torch.tensor(levels)

        return cache.get(slot, [np.full((2, 2), level, np.uint8) for level in levels], compute).tolist()

    assert [ask("a", 1, 2), ask("a", 1, 2), ask("b", 1, 2), ask("a", 1, 3), ask("a", 1, 2)] == [
        [1, 2],
        [1, 2],
        [1, 2],
        [1, 3],
        [1, 2],
    ]
    assert computed == [("a", 1, 2), ("b", 1, 2), ("a", 1, 3), ("a", 1, 2)]


def test_another_shape_is_another_input():
    cache = FeatureCache()
    cache.get(0, [np.zeros((2, 2))], lambda: torch.tensor(1))
    assert cache.get(0, [np.zeros((2, 3))], lambda: torch.tensor(2)) == 2
