"""The flow-matching error in place of a likelihood."""

import numpy as np
import pytest
import torch

from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.flow import FlowLikelihood, draws, embed_time, sample
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import Others, Pass, Targets

CODEC = ActionCodec([-2.0, -1.0], [2.0, 1.0], [True, True])
ROWS = 3


class Straight:
    """A flow to one action for each observation, whose features are that action (B, 1, R * A)."""

    def prefix_cache(self, features, prompt_ids, checkpointing=False):
        return Cache(features[:, 0])

    def velocity(self, cache, noisy, time):
        # along x_t = t eps + (1 - t) a the velocity is (x_t - a) / t
        actions = cache.actions.unflatten(1, (1, ROWS, 2))
        return (noisy - actions) / time[:, :, None, None]


class Cache:
    def __init__(self, actions):
        self.actions = actions

    def rows(self, chosen):
        return Cache(self.actions.detach()[chosen])


def likelihood(**settings):
    return FlowLikelihood(CODEC, ROWS, LikelihoodSettings(**{"flow_draws": 4, "flow_scale": 2.0, **settings}))


def targets(values, mask=None, seeds=None):
    values = torch.tensor(np.array(values), dtype=torch.float32)
    mask = torch.ones(values.shape, dtype=torch.bool) if mask is None else torch.tensor(mask)
    seeds = torch.arange(len(values)) if seeds is None else torch.tensor(seeds)
    return Targets(values, mask, values, mask, seeds)


def seen(actions, others=None):
    return Pass(
        torch.tensor(actions, dtype=torch.float32)[:, None], torch.zeros(len(actions), 1), others=others or Others()
    )


ACTION = [0.5, -0.5, 0.25, 0.0, -1.0, 1.0]


def test_the_action_that_the_flow_ends_in_has_no_error():
    found = likelihood().scores(Straight(), seen([ACTION]), targets([ACTION]))
    assert found.logps.item() == pytest.approx(0.0, abs=1e-8)
    assert found.l1.item() == pytest.approx(0.0, abs=1e-6)
    assert found.edges.item() == pytest.approx(2 / 6)  # -1 and 1


def test_the_error_grows_with_the_square_of_the_distance():
    near, far = np.add(ACTION, 0.1), np.add(ACTION, 0.2)
    mask = [True, True, True, True, False, False]
    found = likelihood().scores(
        Straight(), seen([ACTION] * 3), targets([near, far, near], [[True] * 6] * 2 + [mask], [5] * 3)
    )
    assert found.logps[1].item() == pytest.approx(4 * found.logps[0].item(), rel=1e-5)
    assert found.logps[2].item() == pytest.approx(4 / 6 * found.logps[0].item(), rel=1e-5)
    assert found.l1.tolist() == pytest.approx([0.1, 0.2, 0.1], rel=1e-4)
    # for an action b the error v - u is (b - a) / t
    _, time = draws(torch.tensor([5]), 4, ROWS, 2)
    assert found.logps[0].item() == pytest.approx(-2.0 * 6 * (0.01 / time**2).mean().item(), rel=1e-4)


def test_draws_are_those_of_the_seed_and_begin_with_pure_noise():
    (noise, time), (again, _), (other, _) = (draws(torch.tensor([seed]), 5, ROWS, 2) for seed in (7, 7, 8))
    assert torch.equal(noise, again) and not torch.equal(noise, other)
    assert time[0, 0] == 1.0 and (time > 0).all() and (time <= 1.0).all()
    assert (time[0, 1:].diff() > 0).all()  # one of each stratum


def test_other_actions_are_scored_like_own_ones_without_gradient():
    own, other = np.add(ACTION, 0.1), np.add(ACTION, 0.3)
    features = torch.tensor([ACTION, ACTION])[:, None].requires_grad_()
    others = Others((1,), targets([other], seeds=[1]))
    found = likelihood().scores(Straight(), Pass(features, torch.zeros(2, 1), others=others), targets([own, own]))
    wanted = likelihood().scores(Straight(), seen([ACTION]), targets([other], seeds=[1]))
    assert found.other_logps.tolist() == pytest.approx(wanted.logps.tolist())
    assert found.logps.requires_grad and not found.other_logps.requires_grad
    assert not found.l1.requires_grad


def test_actions_are_normalised_and_rows_that_do_not_count_are_masked():
    chunks = np.array([[[1.0, 1.0], [-2.0, 0.0], [9.0, 0.0]]], np.float32)
    encoded = likelihood().encode(chunks, np.array([[True, True, False]]), [None])
    assert encoded.outputs.tolist() == [[0.5, 1.0, -1.0, 0.0, 1.0, 0.0]]
    assert encoded.mask.tolist() == [[True] * 4 + [False] * 2]


def test_sampling_ends_in_the_action_with_any_number_of_steps():
    noise = torch.randn(1, ROWS, 2, generator=torch.Generator().manual_seed(0))
    cache = Cache(torch.tensor([ACTION]))
    for steps in (1, 4, 10):
        assert sample(Straight(), cache, noise, steps).flatten().tolist() == pytest.approx(ACTION, abs=1e-5)


def test_its_name_holds_what_scores_depend_on():
    names = {likelihood(**change).name for change in ({}, {"flow_draws": 8}, {"flow_scale": 1.0})}
    assert len(names) == 3


class Padded(Straight):
    """Straight in the codec's two numbers of a row, wild in the two that pad them."""

    def velocity(self, cache, noisy, time):
        assert noisy.shape[-1] == 4
        return torch.cat([super().velocity(cache, noisy[..., :2], time), 100 * noisy[..., 2:]], dim=-1)


def test_numbers_that_pad_an_action_count_for_nothing():
    settings = LikelihoodSettings(flow_draws=4, flow_scale=2.0)
    wide = FlowLikelihood(CODEC, ROWS, settings, width=4)
    found = wide.scores(Padded(), seen([ACTION]), targets([ACTION]))
    assert found.logps.item() == pytest.approx(0.0, abs=1e-8)
    assert found.l1.item() == pytest.approx(0.0, abs=1e-6)


def test_an_edge_is_where_the_codec_clips():
    wide = ActionCodec([-2.0, -1.0], [2.0, 1.0], [True, True], limit=10.0)
    far = [10.0, 1.0, 3.0, 0.0, -10.0, 9.0]
    settings = LikelihoodSettings(flow_draws=4, flow_scale=2.0)
    found = FlowLikelihood(wide, ROWS, settings).scores(Straight(), seen([far]), targets([far]))
    assert found.edges.item() == pytest.approx(2 / 6)


class Still:
    """A flow without motion, which keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def velocity(self, cache, noisy, time):
        self.asked.append(noisy[0, 0].clone())
        return torch.zeros_like(noisy)


def test_steps_are_guided_to_the_rows_that_are_committed():
    model, committed = Still(), torch.tensor([[[1.0]]])
    found = sample(model, None, torch.zeros(1, 2, 2), 4, committed)
    # weights at t = 1, 0.75, 0.5, 0.25: 10, 10 / 3, 2, 10 / 3, each of a quarter of a second
    steps = [asked[0, 0].item() for asked in model.asked]
    assert steps == pytest.approx([0.0, 2.5, 1.25, 1.125])
    assert found.tolist() == [[[1.0, 0.0], [0.0, 0.0]]]
    assert all(asked[1].tolist() == [0.0, 0.0] and asked[0, 1] == 0 for asked in model.asked)


def test_times_are_sines_and_cosines_of_their_periods():
    found = embed_time(torch.tensor([0.0, 0.001]), 4)
    assert found[0].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert found[1].tolist() == pytest.approx([1.0, 0.0015708, 0.0, 0.9999988], abs=1e-6)
    assert embed_time(torch.zeros(2, 3), 8).shape == (2, 3, 8)
