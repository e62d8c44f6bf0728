"""The common part of OpenVLA and OpenVLA-OFT: towers, projector, sequence, action tokens."""

import pytest
import torch
from torch.nn import functional as F

from apo_vla.actions.classes import ActionClasses
from apo_vla.families.openvla.prismatic import PrismaticVla, Projector
from apo_vla.loading import load_checkpoint

BOS = 1


@pytest.fixture(scope="module")
def openvla(openvla_folder) -> PrismaticVla:
    return load_checkpoint(openvla_folder).model.eval()


@pytest.fixture(scope="module")
def oft(oft_folder) -> PrismaticVla:
    return load_checkpoint(oft_folder).model.eval()


def images_of(model: PrismaticVla, *shape: int) -> torch.Tensor:
    """Random images (*shape, 3 * towers, S, S)."""
    size = model.config.image.size
    return torch.rand(*shape, 6, size, size, generator=torch.Generator().manual_seed(0))


def test_bin_b_is_token_31999_minus_b(openvla):
    model = openvla.language_model
    tokens = 31999 - torch.arange(256)
    assert torch.equal(openvla.embedding_rows(), model.model.embed_tokens.weight[tokens])
    assert torch.equal(openvla.head_rows(), model.lm_head.weight[tokens])


@torch.no_grad()
def test_the_two_towers_see_three_channels_each(openvla):
    backbone, images = openvla.vision_backbone, images_of(openvla, 2)
    found = backbone(images)
    first, second = backbone.featurizer(images[:, :3]), backbone.fused_featurizer(images[:, 3:])
    assert first.shape[:2] == second.shape[:2]
    assert torch.equal(found, torch.cat([first, second], dim=-1))


@torch.no_grad()
def test_the_projector_has_a_layer_more_behind_two_towers():
    x = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0))
    one, two = Projector(4, 6, fused=False), Projector(4, 6, fused=True)
    torch.testing.assert_close(one(x), one.fc2(F.gelu(one.fc1(x))))
    torch.testing.assert_close(two(x), two.fc3(F.gelu(two.fc2(F.gelu(two.fc1(x))))))
    assert (one.fc1.out_features, two.fc1.out_features) == (6, 16)


@torch.no_grad()
def test_features_of_cameras_follow_each_other(oft):
    images, state = images_of(oft, 1, 2), torch.zeros(1, 8)
    found = oft.features(images, state)
    each = [oft.camera_tokens(i, images[:, i]) for i in range(2)]
    assert torch.equal(found[:, : each[0].shape[1]], each[0])
    assert torch.equal(found[:, each[0].shape[1] : 2 * each[0].shape[1]], each[1])


@torch.no_grad()
def test_padding_is_masked_only_where_prompts_differ_in_length(openvla):
    pad = openvla.config.pad_id
    prompts = torch.tensor([[BOS, 5, 6, 7, pad], [BOS, 5, pad, pad, pad]])
    features = torch.rand(2, 4, openvla.language_model.config.hidden_size)
    whole, mask = openvla.prefix(features, prompts)
    assert mask.sum(dim=1).tolist() == [4 + 4, 2 + 4]
    for row, length in enumerate((4, 2)):
        alone, none = openvla.prefix(features[row : row + 1], prompts[row : row + 1, :length])
        assert none is None
        assert torch.equal(whole[row, mask[row]], alone[0])


@torch.no_grad()
def test_images_stand_between_bos_and_the_rest_of_the_prompt(openvla):
    embedding = openvla.language_model.model.embed_tokens.weight
    features = torch.rand(1, 4, embedding.shape[1])
    sequence, _ = openvla.prefix(features, torch.tensor([[BOS, 5, 6]]))
    assert torch.equal(sequence[0], torch.cat([embedding[[BOS]], features[0], embedding[[5, 6]]]))


def test_classes_of_actions_reach_the_decoder(openvla):
    before = openvla.classes
    classes = ActionClasses(torch.arange(256).repeat(7, 1).numpy(), "cpu")
    openvla.classes = classes
    assert openvla.decoder.classes is classes and openvla.classes is classes
    openvla.classes = before
    assert openvla.decoder.classes is before
