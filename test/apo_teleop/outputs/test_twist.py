import numpy as np

from apo_teleop.outputs.twist import TwistOutput


def test_a_twist_goes_out_as_it_is():
    values = np.array([0.1, -0.2, 0.3, 1.0, -2.0, 3.0], np.float32)
    out = TwistOutput().command(values, 0)
    assert out.dtype == np.float64
    assert (out.astype(np.float32) == values).all()
