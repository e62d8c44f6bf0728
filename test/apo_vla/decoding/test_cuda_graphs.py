import pytest
import torch
from replayed import Replayed

from apo_vla.decoding.cuda_graphs import GraphCache


def double(x: torch.Tensor) -> tuple[torch.Tensor]:
    return (2 * x,)


@pytest.fixture
def cache() -> GraphCache:
    Replayed.made = 0
    return GraphCache(Replayed)


def test_a_replay_computes_with_the_new_inputs(cache):
    first = cache("double", double, torch.tensor([1.0, 2.0]))[0]
    second = cache("double", double, torch.tensor([3.0, 4.0]))[0]
    assert (first.tolist(), second.tolist(), Replayed.made) == ([2.0, 4.0], [6.0, 8.0], 1)


def test_names_shapes_and_types_have_recordings_of_their_own(cache):
    for name, value in (("a", torch.ones(1)), ("b", torch.ones(1)), ("a", torch.ones(2)), ("a", torch.ones(1).half())):
        assert cache(name, double, value)[0].tolist() == (2 * value).tolist()
    assert Replayed.made == 4


def test_the_oldest_recording_goes_when_there_are_too_many():
    cache, made = GraphCache(Replayed, limit=2), []

    def doubled(x):
        made.append(len(x))
        return (2 * x,)

    for size in (1, 2, 1, 3, 2):
        assert torch.equal(cache("double", doubled, torch.ones(size))[0], torch.full((size,), 2.0))
    # each call replays; 1, 2, 3 and again 2, which had gone, were recorded
    assert [made.count(size) for size in (1, 2, 3)] == [3, 4, 2]
