from apo_core.contract.specs import OPTIONAL_LIMITS, ActionSpec, Limits


def limits(**changes) -> Limits:
    return Limits(1.0, 2.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), **changes)


def test_absent_limits_are_named_by_their_keys():
    assert limits().absent == tuple(f"limits.{name}" for name in OPTIONAL_LIMITS)
    assert limits(linear_jerk=3.0, step=(0.1,) * 6).absent == (
        "limits.linear_acceleration",
        "limits.angular_acceleration",
        "limits.angular_jerk",
    )


def test_a_limit_of_zero_is_not_absent():
    assert "limits.linear_acceleration" not in limits(linear_acceleration=0.0).absent


def test_size_is_the_number_of_names():
    assert ActionSpec(("vx", "grip"), ("m/s", "1"), (-1.0, 0.0), (1.0, 1.0)).size == 2
