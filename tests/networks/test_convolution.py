"""Convolutional networks: any size, every way to halve and to double."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from isthmus.batch import Batch
from isthmus.networks import ConvDecoder, ConvEncoder
from isthmus.networks.convolution import POOLINGS, UPSAMPLINGS, _Unpool

SIZES = [(1, 1), (7, 5), (30, 21), (64, 64)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_images_of_any_size_become_a_vector_or_a_map(height, width, pooling):
    images = Batch(torch.rand(2, height, width, 3))
    facts = {"shape": [height, width, 3]}
    vector = ConvEncoder((3, 4), pooling=pooling, residual=True, width=6).build(**facts)(images)
    assert vector.shape == (2, 6)
    grid = ConvEncoder((3, 4), pooling=pooling, flatten=False).build(**facts)(images)
    assert grid.shape == (2, -(-height // 4), -(-width // 4), 4)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_vectors_and_maps_become_images_of_any_size(height, width, upsampling):
    options = {"upsampling": upsampling, "residual": True}
    facts = {"shape": [height, width, 3]}
    assert ConvDecoder((4, 3), **options).build(code=[5], **facts)(torch.randn(2, 5)).shape == (2, height, width, 3)
    code = [-(-height // 4), -(-width // 4), 5]
    decoder = ConvDecoder((4, 3), **options).build(code=code, **facts)
    assert decoder(torch.randn(2, *code)).shape == (2, height, width, 3)


def test_the_map_keeps_its_orientation():
    encoder = ConvEncoder((2,), pooling="max", activation="relu", flatten=False).build(shape=[8, 4, 1])
    with torch.no_grad():
        weight = encoder.levels[0].weight
        weight.zero_()
        weight[:, :, 1, 1] = 1  # the identity
        encoder.levels[0].bias.zero_()
    x = torch.zeros(1, 8, 4, 1)
    x[0, 6, 1] = 1
    grid = encoder(Batch(x))
    assert grid.shape == (1, 4, 2, 2)
    assert grid.nonzero().tolist() == [[0, 3, 0, 0], [0, 3, 0, 1]]


def test_borders_are_repeated_to_fit_the_strides():
    torch.manual_seed(0)
    encoder = ConvEncoder((3, 4), flatten=False).build(shape=[5, 7, 2])
    same = ConvEncoder((3, 4), flatten=False).build(shape=[8, 8, 2])
    same.load_state_dict(encoder.state_dict())
    x = torch.rand(2, 5, 7, 2)
    padded = np.pad(x.numpy(), ((0, 0), (0, 3), (0, 1), (0, 0)), mode="edge")
    torch.testing.assert_close(encoder(Batch(x)), same(Batch(torch.from_numpy(padded))))


def test_unpooling_is_numpy_s():
    x = torch.randn(2, 3, 4, 5)
    expected = np.zeros((2, 3, 8, 10), np.float32)
    expected[:, :, ::2, ::2] = x
    np.testing.assert_array_equal(_Unpool()(x), expected)


def test_nearest_and_transposed_double_as_torch_does():
    z = torch.randn(2, 2, 3, 5)
    nearest = ConvDecoder((4,), upsampling="nearest", activation="relu").build(code=[2, 3, 5], shape=[4, 6, 1])
    h = F.relu(nearest.head(z.movedim(-1, 1)))
    expected = nearest.levels[2](h.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(nearest(z), expected.movedim(1, -1))
    transposed = ConvDecoder((4,), activation="relu").build(code=[2, 3, 5], shape=[4, 6, 1])
    level = transposed.levels[1]
    h = F.relu(transposed.head(z.movedim(-1, 1)))
    expected = F.conv_transpose2d(h, level.weight, level.bias, stride=2, padding=1)
    torch.testing.assert_close(transposed(z), expected.movedim(1, -1))


def test_hidden_pixels_are_not_read_and_are_told_from_black_ones():
    torch.manual_seed(0)
    encoder = ConvEncoder((3,), width=5).build(shape=[6, 4, 2], missing=True)
    with torch.no_grad():
        encoder.scale.fill_(1)
    x, mask = torch.rand(3, 6, 4, 2), torch.rand(3, 6, 4) < 0.5
    black = x * mask.unsqueeze(-1)
    torch.testing.assert_close(encoder(Batch(x, mask)), encoder(Batch(black, mask)))
    assert not torch.allclose(encoder(Batch(black, mask)), encoder(Batch(black)))
    torch.testing.assert_close(encoder(Batch(x)), encoder(Batch(x, torch.ones_like(mask))))


def test_residual_blocks_start_as_the_identity():
    torch.manual_seed(0)
    decoder = ConvDecoder((4, 3), residual=True, shortcut=False).build(code=[5], shape=[8, 8, 1])
    block = decoder.levels[1]
    h = torch.randn(2, 4, 2, 2)
    torch.testing.assert_close(block(h), h + block.body[-1].bias[:, None, None])


@pytest.mark.slow
def test_training_escapes_the_zero_scales_of_the_linear_start():
    torch.manual_seed(0)
    places = torch.randint(0, 6, (64, 2))
    x = torch.zeros(64, 8, 8, 1)
    for image, (i, j) in zip(x, places.tolist(), strict=True):
        image[i : i + 3, j : j + 3] = 1
    encoder = ConvEncoder((8, 8), width=16).build(shape=[8, 8, 1])
    decoder = ConvDecoder((8, 8)).build(code=[16], shape=[8, 8, 1])
    encoder.start(Batch(x))
    decoder.start(encoder(Batch(x))[:, :4].repeat(1, 4), x)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=5e-3)
    losses = []
    for _ in range(120):
        adam.zero_grad()
        code = encoder(Batch(x))[:, :4].repeat(1, 4)  # four numbers, which the linear map alone cannot do with
        loss = F.mse_loss(decoder(code), x)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert encoder.scale[:4].abs().min() > 0
    assert decoder.scale.abs().min() > 0


@pytest.mark.parametrize(
    ("part", "facts", "message"),
    [
        (ConvEncoder(), {"shape": [5]}, r"needs images \(height, width, channels\), got examples of shape \(5,\)"),
        (ConvEncoder(()), {"shape": [8, 8, 1]}, "channels must be 1 to 10 positive whole numbers"),
        (ConvEncoder((0,)), {"shape": [8, 8, 1]}, "channels must be"),
        (ConvEncoder(width=0), {"shape": [8, 8, 1]}, "width must be"),
        (ConvEncoder(pooling="mean"), {"shape": [8, 8, 1]}, "pooling must be one of"),
        (ConvEncoder(norm="layer"), {"shape": [8, 8, 1]}, "norm must be one of 'batch'"),
        (ConvDecoder(()), {"code": [3], "shape": [8, 8, 1]}, "channels must be 1 to 10"),
        (ConvDecoder(upsampling="bilinear"), {"code": [3], "shape": [8, 8, 1]}, "upsampling must be one of"),
        (ConvDecoder(), {"code": [4, 4, 3], "shape": [8, 8, 1]}, "give encoder and decoder equally many channels"),
        (ConvDecoder(), {"code": [3], "shape": [9]}, "needs images"),
    ],
)
def test_what_does_not_fit_is_refused(part, facts, message):
    with pytest.raises(ValueError, match=message):
        part.build(**facts)
