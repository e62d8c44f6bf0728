from apo_core.remote.back_off import BackOff


def looks_until_due(rests: BackOff, what: str) -> int:
    """Rejects a thing; how many looks leave it out."""
    rests.reject(what)
    count = 0
    rests.next_look()
    while not rests.is_due(what):
        count += 1
        rests.next_look()
    return count


def test_a_rejected_thing_rests_longer_each_time_up_to_64_looks():
    rests = BackOff()
    rests.next_look()
    assert [looks_until_due(rests, "a") for _ in range(9)] == [1, 2, 4, 8, 16, 32, 64, 64, 64]


def test_others_do_not_rest_and_what_came_begins_anew():
    rests = BackOff()
    rests.next_look()
    assert looks_until_due(rests, "a") == 1 and looks_until_due(rests, "a") == 2
    rests.reject("a")
    assert rests.is_due("b") and not rests.is_due("a")
    rests.accept("a")
    assert rests.is_due("a") and looks_until_due(rests, "a") == 1


def test_cleared_everything_is_due():
    rests = BackOff()
    rests.next_look()
    rests.reject("a")
    rests.clear()
    assert rests.is_due("a")
