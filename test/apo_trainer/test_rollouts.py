import numpy as np

from apo_core.contract import Limits
from apo_trainer.rollouts import within_limits

LIMITS = Limits(1.0, 2.0, (-1.0, -1.0, 0.0), (1.0, 1.0, 2.0))


def test_speeds_are_shortened_to_the_limits_in_their_direction():
    action = np.array([3.0, 0.0, 4.0, 0.0, 4.0, 0.0, 1.0])
    np.testing.assert_allclose(within_limits(action, LIMITS), [0.6, 0.0, 0.8, 0.0, 2.0, 0.0, 1.0], rtol=1e-6)
    assert action[0] == 3.0
    slow = np.array([0.3, 0.0, 0.4, 0.0, 1.0, 0.0, -1.0], dtype=np.float32)
    np.testing.assert_array_equal(within_limits(slow, LIMITS), slow)
