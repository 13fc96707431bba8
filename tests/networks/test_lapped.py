"""Lapped transforms: adjoint, orthonormal to the border, begun at principal components."""

import numpy as np
import pytest
import torch

from isthmus.batch import Batch
from isthmus.bottlenecks import EntropyBottleneck
from isthmus.networks import LappedDecoder, LappedEncoder
from isthmus.networks.lapping import Analysis, Synthesis, lapped_components, mirrored


def smooth(n, height, width, channels, seed=0):
    """Return images in which neighbours are alike, between 0 and 1."""
    random = np.random.default_rng(seed)
    walk = random.normal(size=(n, height, width, channels)).cumsum(1).cumsum(2)
    return torch.from_numpy((walk - walk.min()) / (walk.max() - walk.min()))


def pair(x, channels, **options):
    """Return encoder and decoder begun at these images."""
    shape = list(x.shape[1:])
    encoder = LappedEncoder(channels, **options).build(shape=shape).double()
    encoder.start(Batch(x))
    z = encoder(Batch(x))
    decoder = LappedDecoder(**options).build(code=list(z.shape[1:]), shape=shape).double()
    decoder.start(z, x)
    return encoder, decoder


def through(encoder, decoder, x):
    return decoder(encoder(Batch(x)), None).detach()


def test_blocks_begin_at_their_principal_components():
    x = smooth(20, 12, 8, 2)
    encoder, decoder = pair(x, 5, size=4, stride=4)
    error = float((through(encoder, decoder, x) - x).square().sum())
    blocks = x.numpy() - x.numpy().mean((0, 1, 2))
    blocks = blocks.reshape(20, 3, 4, 2, 4, 2).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 32)
    vectors = np.linalg.eigh(np.cov(blocks.T))[1][:, -5:]
    wanted = np.square(blocks - blocks @ vectors @ vectors.T).sum()
    assert error == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 20), (4, 28)])
@pytest.mark.parametrize("size", [4, 8])
def test_all_coefficients_give_back_images_of_any_multiple_of_the_stride(size, height, width):
    encoder, decoder = pair(smooth(30, 8, 8, 2), 32, size=size, stride=4)
    x = smooth(2, height, width, 2, seed=1)
    z = encoder(Batch(x))
    assert z.shape == (2, height // 4, width // 4, 32)
    torch.testing.assert_close(decoder(z, None), x, rtol=0, atol=1e-9)


def test_wider_kernels_begin_lapped_with_nothing_in_their_margins():
    x = smooth(30, 12, 12, 1)
    kernels, _ = lapped_components(x.permute(0, 3, 1, 2), 6, 12, 4)
    assert kernels.shape == (6, 1, 12, 12)
    torch.testing.assert_close(kernels[:, :, 2:10, 2:10].square().sum(), kernels.square().sum())


def test_lapping_keeps_more_in_as_many_coefficients():
    x = smooth(30, 32, 32, 1)
    errors = [float((through(*pair(x, 6, size=size, stride=8), x) - x).square().sum()) for size in (8, 16)]
    assert errors[1] < 0.95 * errors[0]


def test_channels_begin_in_the_order_of_their_energy():
    x = smooth(30, 16, 16, 3)
    encoder, _ = pair(x, 20, size=8, stride=4)
    energy = encoder(Batch(x)).flatten(0, 2).var(0)
    assert (energy[1:] <= 1.05 * energy[:-1]).all()


@pytest.mark.parametrize("size", [4, 8, 12])
def test_synthesis_is_the_adjoint_of_analysis_at_borders_too(size):
    torch.manual_seed(0)
    analysis, synthesis = Analysis(2, 7, size, 4).double(), Synthesis(7, 2, size, 4).double()
    with torch.no_grad():
        synthesis.kernel.weight.copy_(analysis.kernel.weight)
        analysis.kernel.bias.zero_()
        synthesis.colours.zero_()
    x, y = torch.randn(3, 2, 12, 8).double(), torch.randn(3, 7, 3, 2).double()
    assert float((analysis(x) * y).sum().detach()) == pytest.approx(float((x * synthesis(y)).sum().detach()))


def test_analysis_is_a_strided_convolution_of_the_mirrored_image():
    torch.manual_seed(0)
    kernels = torch.randn(3, 2, 8, 8).double()
    analysis = Analysis(2, 3, 8, 4).double()
    analysis.put(kernels, torch.tensor([0.1, 0.2]))
    image = torch.rand(1, 2, 8, 12).double()
    wide = np.pad(image.numpy()[0], ((0, 0), (2, 2), (2, 2)), mode="symmetric")
    np.testing.assert_array_equal(mirrored(image, 2)[0].numpy(), wide)
    wide -= np.array([0.1, 0.2])[:, None, None]
    wanted = np.array(
        [[[(k * wide[:, i : i + 8, j : j + 8]).sum() for j in (0, 4, 8)] for i in (0, 4)] for k in kernels.numpy()]
    )
    np.testing.assert_allclose(analysis(image)[0].detach().numpy(), wanted, atol=1e-6)


def test_images_of_any_size_come_back_in_their_size():
    shape = [13, 6, 3]
    encoder = LappedEncoder(6, branch=(4, 5)).build(shape=shape)
    code = encoder(Batch(torch.rand(2, *shape)))
    assert code.shape == (2, 1, 1, 6)
    decoder = LappedDecoder().build(code=[1, 1, 6], shape=shape)
    assert decoder(code, None).shape == (2, *shape)
    assert decoder(encoder(Batch(torch.rand(1, 33, 16, 3))), None).shape == (1, 48, 16, 3)


def test_the_filter_works_in_units_of_the_step_it_is_told():
    torch.manual_seed(0)
    decoder = LappedDecoder(4, 4, filter=(5,), told=True).build(code=[2, 2, 7], shape=[8, 8, 1])
    torch.nn.init.normal_(decoder.mend[-2].weight)
    z = torch.randn(2, 2, 2, 7)
    z[..., 6] = torch.tensor([0.0, 1.5])[:, None, None]
    image = decoder.transform(z[..., :6].permute(0, 3, 1, 2))
    step = torch.tensor([1.0, np.exp(1.5)], dtype=torch.float32)[:, None, None, None]
    wanted = image + step * decoder.mend((image - 0.5) / step)
    torch.testing.assert_close(decoder(z, None), wanted.permute(0, 2, 3, 1))


def test_the_filter_and_the_branch_begin_at_nothing():
    x = smooth(10, 16, 16, 1).float()
    plain = LappedEncoder(8).build(shape=[16, 16, 1])
    rich = LappedEncoder(8, branch=(4, 4)).build(shape=[16, 16, 1])
    for encoder in (plain, rich):
        encoder.start(Batch(x))
    code = plain(Batch(x))
    torch.testing.assert_close(rich(Batch(x)), code)
    decoders = [LappedDecoder(filter=widths).build(code=[1, 1, 8], shape=[16, 16, 1]) for widths in ((), (8,))]
    for decoder in decoders:
        decoder.start(code, x)
    torch.testing.assert_close(decoders[0](code, None), decoders[1](code, None))


def test_a_rounded_code_is_mended_in_a_few_steps():
    torch.manual_seed(0)
    x = smooth(40, 16, 16, 1).float()
    encoder = LappedEncoder(16, 8, 4).build(shape=[16, 16, 1])
    encoder.start(Batch(x))
    bottleneck = EntropyBottleneck((0.0005, 0.005)).build(width=16)
    z = bottleneck(encoder(Batch(x))).z.detach()
    decoder = LappedDecoder(8, 4, filter=(8,), told=True).build(code=[4, 4, 17], shape=[16, 16, 1])
    decoder.start(z, x)
    before = float((decoder(z, None) - x).square().mean().detach())
    optimizer = torch.optim.Adam(decoder.mend.parameters(), 3e-3)
    for _ in range(30):
        loss = (decoder(z, None) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.95 * before


@pytest.mark.parametrize(
    ("part", "facts", "says"),
    [
        (LappedEncoder(size=20, stride=16), {"shape": [32, 32, 3]}, "size one, two or three strides"),
        (LappedEncoder(size=6, stride=3), {"shape": [32, 32, 3]}, "stride must be even"),
        (LappedEncoder(), {"shape": [32]}, "needs images"),
        (LappedEncoder(branch=(8,)), {"shape": [32, 32, 3]}, "branch .* halves 1 times"),
        (LappedDecoder(), {"code": [3, 2, 8], "shape": [32, 32, 3]}, "code of .2, 2. positions"),
        (LappedDecoder(12, 6), {"code": [2, 2, 8], "shape": [12, 12, 3]}, "multiple of 4"),
        (LappedDecoder(told=True), {"code": [2, 2, 1], "shape": [32, 32, 3]}, "told takes one channel"),
    ],
)
def test_what_does_not_fit_is_refused(part, facts, says):
    with pytest.raises(ValueError, match=says):
        part.build(**facts)
