"""The split code: its factors' codes side by side, each position's or the example's own."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from isthmus import AutoEncoder, names, saving
from isthmus.bottlenecks import Gaussian, Linear, OneHot, Split
from isthmus.checks import check_part
from isthmus.networks import ConvDecoder, ConvEncoder, TemporalDecoder, TemporalEncoder
from isthmus.rows import as_rows

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), dtype=np.uint8)


def built(**factors):
    split = Split({name: part for name, part in factors.items() if name not in ("pooled", "normalized")})
    split.set_params(**{name: value for name, value in factors.items() if name in ("pooled", "normalized")})
    torch.manual_seed(0)
    return split.build(width=6, positions=[5], rank=2)


def test_the_code_is_what_each_factor_would_make_alone_and_penalties_add():
    split = built(content=Linear(3), style=Gaussian(2, beta=2.0)).eval()
    features = torch.randn(4, 5, 6)
    code = split(features)
    alone = [part(features) for part in split.inner]
    assert torch.equal(code.z, torch.cat([one.z for one in alone], -1))
    assert torch.equal(code.penalty, alone[0].penalty + alone[1].penalty)
    assert list(code.factors) == ["content", "style"]
    assert torch.equal(code.factors["style"], alone[1].z)
    assert code.indices is None


def test_a_pooled_factor_reads_the_mean_over_positions_and_is_charged_once():
    split = built(content=Linear(3), style=Gaussian(2), pooled=("style",)).eval()
    features = torch.randn(4, 5, 6)
    code = split(features)
    once = split.inner[1](features.mean(1))
    assert torch.equal(code.factors["style"], once.z.unsqueeze(1).expand(4, 5, 2))
    assert torch.equal(code.penalty, once.penalty)


def test_a_pooled_factor_is_drawn_once_an_example():
    split = built(content=Gaussian(3), style=Gaussian(2), pooled=("style",)).train()
    style = split(torch.randn(4, 5, 6)).factors["style"]
    assert torch.equal(style, style[:, :1].expand_as(style))
    drawn = split.sample(3, (5,))
    assert drawn.shape == (3, 5, 5)
    assert torch.equal(drawn[..., 3:], drawn[:, :1, 3:].expand(3, 5, 2))
    assert not torch.equal(drawn[:, 0, :3], drawn[:, 1, :3])


def test_a_normalized_factor_cannot_see_what_is_the_same_at_all_positions():
    split = built(content=Linear(3), style=Linear(2), pooled=("style",), normalized=("content",)).eval()
    features = torch.randn(4, 5, 6)
    speaker = 3 * torch.randn(4, 1, 6)
    loudness = torch.rand(4, 1, 6) + 0.5
    before, after = split(features), split(features * loudness + speaker)
    assert torch.allclose(before.factors["content"], after.factors["content"], atol=1e-3)
    assert not torch.allclose(before.factors["style"], after.factors["style"], atol=1e-1)


def test_normalized_features_have_mean_zero_and_variance_one_over_positions():
    split = Split({"content": Linear(4)}, normalized=("content",)).build(width=4)
    with torch.no_grad():
        split.inner[0].linear.weight.copy_(torch.eye(4))
        split.inner[0].linear.bias.zero_()
    z = split(5 + 2 * torch.randn(3, 4, 7, 4)).z
    assert torch.allclose(z.mean((1, 2)), torch.zeros(3, 4), atol=1e-5)
    assert torch.allclose(z.var((1, 2), correction=0), torch.ones(3, 4), atol=1e-3)


def test_padding_counts_for_neither_mean_nor_variance():
    split = built(content=Linear(3), style=Linear(2), pooled=("style",), normalized=("content",)).eval()
    features = torch.randn(4, 5, 6)
    padded = torch.cat([features, torch.zeros(4, 3, 6)], 1)
    assert torch.allclose(split(padded).z[:, :5], split(features).z, atol=1e-6)
    assert split(torch.zeros(2, 5, 6)).z.isfinite().all()


def test_a_pooled_factor_of_a_series_reads_its_own_steps_alone():
    rows = [np.sin(np.arange(n) / 3) + n / 10 for n in (9, 14, 20, 12) * 6]
    encoder, decoder = TemporalEncoder((8,), summary="steps"), TemporalDecoder((8,))
    split = Split({"content": Linear(2), "level": Linear(2)}, pooled=("level",), normalized=("content",))
    model = AutoEncoder(bottleneck=split, encoder=encoder, decoder=decoder, max_epochs=1, threads=1).fit(rows)
    (_, step), *_ = model.steps(model.modality_.to_batch(as_rows(rows[:1])))
    # Of 9 steps every second is kept: 5 positions.
    level = model.module_.bottleneck.inner[1](step.features[:, :5].mean(1)).z
    assert torch.allclose(step.code.factors["level"][:, 0], level, atol=1e-6)


def test_without_positions_there_is_nothing_to_pool_or_normalise():
    plain = built(content=Linear(3), style=Linear(2)).eval()
    other = built(content=Linear(3), style=Linear(2), pooled=("style",), normalized=("content",)).eval()
    features = torch.randn(4, 6)
    assert torch.equal(plain(features).z, other(features).z)


@pytest.mark.parametrize(
    ("factors", "able"),
    [
        ({"a": Linear(2), "b": Linear(2)}, set()),
        ({"a": Linear(2), "b": Gaussian(2)}, {"draw"}),
        ({"a": Gaussian(2), "b": Gaussian(2)}, {"draw", "sample", "posterior"}),
        ({"a": OneHot(3), "b": Gaussian(2)}, {"draw", "sample"}),
        ({"a": OneHot(3), "b": OneHot(2)}, {"draw", "sample", "quantize", "dequantize"}),
    ],
)
def test_it_can_do_what_its_factors_can_and_says_so_before_and_after_it_is_built(factors, able):
    every = {"draw", "sample", "posterior", "quantize", "dequantize"}
    for split in (Split(factors), Split(factors).build(width=6)):
        assert {name for name in every if hasattr(split, name)} == able


def test_the_ratio_of_a_draw_is_the_sum_of_the_factors_and_none_if_one_is_not_drawn():
    features = torch.randn(4, 5, 6)
    both = built(a=Gaussian(3), b=Gaussian(2), pooled=("b",)).eval()
    code = both.draw(features)
    mean, log_variance = both.posterior(features)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    ratio = q.log_prob(code.z) - torch.distributions.Normal(0, 1).log_prob(code.z)
    wanted = ratio[..., :3].sum((1, 2)) + ratio[:, 0, 3:].sum(1)
    assert torch.allclose(code.log_ratio, wanted, atol=1e-4)
    assert built(a=Linear(3), b=Gaussian(2)).draw(features).log_ratio is None


def test_an_objective_refuses_a_code_that_is_only_partly_drawn():
    X = np.random.default_rng(0).normal(size=(30, 4))
    split = Split({"a": Linear(2), "b": Gaussian(2)})
    with pytest.raises(ValueError, match="needs a code all of which is drawn"):
        AutoEncoder(bottleneck=split, objective="importance_weighted", max_epochs=1, threads=1).fit(X)


def test_symbols_stand_side_by_side_and_lead_back_to_the_code():
    split = built(a=OneHot(3, groups=2), b=OneHot(4), pooled=("b",)).eval()
    code = split(torch.randn(4, 5, 6))
    assert code.indices.shape == (4, 5, 3)
    assert torch.equal(split.dequantize(code.indices), code.z)
    assert torch.equal(split.quantize(code.z), code.indices)


def test_a_clone_has_neither_weights_nor_facts_within():
    split = built(content=Linear(3), style=Gaussian(2))
    copy = clone(split)
    assert all(part.facts is None and not part.state_dict() for part in copy.factors.values())
    assert all(part.facts is None for part in split.factors.values())


def test_paths_reach_into_factors_also_in_a_grid_search():
    split = Split({"content": Linear(3), "style": Gaussian(2)})
    assert split.get_params()["factors__style__beta"] == 1.0
    split.set_params(factors__style__beta=4.0, factors__content=Linear(5))
    assert repr(split) == "Split(factors={'content': Linear(size=5), 'style': Gaussian(beta=4.0, size=2)})"
    with pytest.raises(ValueError, match="no factor 'speaker'; there are: content, style"):
        split.set_params(factors__speaker__size=2)
    X = np.random.default_rng(0).normal(size=(40, 4))
    search = GridSearchCV(
        AutoEncoder(bottleneck=split, max_epochs=1, threads=1, random_state=0),
        {"bottleneck__factors__content__size": [1, 2]},
        cv=2,
    ).fit(X)
    assert search.best_estimator_.code_shape_ == (search.best_params_["bottleneck__factors__content__size"] + 2,)
    assert split.factors["content"].size == 5


def test_its_text_reads_back_and_names_within_are_parts():
    text = "split(factors={'content': linear(8), 'style': gaussian(size=4, beta=2.0)}, pooled=('style',))"
    split = names.parse(text, "bottlenecks")
    assert isinstance(split.factors["style"], Gaussian)
    assert repr(names.parse(repr(split))) == repr(split)
    with pytest.raises(ValueError, match="no part is called 'liner'"):
        names.parse("split(factors={'content': liner})")


def test_a_saved_map_code_with_factors_comes_back(tmp_path):
    split = Split({"content": Linear(2), "style": Gaussian(3)}, pooled=("style",), normalized=("content",))
    encoder, decoder = ConvEncoder((4,), flatten=False), ConvDecoder((4,))
    model = AutoEncoder(bottleneck=split, encoder=encoder, decoder=decoder, max_epochs=1, threads=1, random_state=0)
    model.fit(IMAGES)
    saving.save(model, tmp_path / "model")
    again = saving.load(tmp_path / "model")
    assert np.array_equal(again.transform(IMAGES), model.transform(IMAGES))
    assert again.code_shape_ == (4, 4, 5)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split({}), "factors must be 1 to 100, got 0"),
        (Split({"a b": Linear(2)}), "named as Python names are.*'a b'"),
        (Split({"a__b": Linear(2)}), "without '__'"),
        (Split({"part": Linear(2)}), "not part or params"),
        (Split({"a": Linear(2)}, pooled=("b",)), "pooled names 'b', which is no factor; there are: a"),
        (Split({"a": Linear(2)}, pooled=("a",), normalized=("a",)), "cannot be in both"),
    ],
)
def test_wrong_factors_are_refused(split, message):
    with pytest.raises(ValueError, match=message):
        split.build(width=4)


def test_a_factor_that_is_no_part_is_refused():
    with pytest.raises(TypeError, match=r"factors\['a'\] must be a bottleneck"):
        Split({"a": "linear"}).build(width=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"encoder": ConvEncoder((4,), flatten=False), "decoder": ConvDecoder((4,))}], ids=["vector", "map"]
)
def test_pooled_and_normalized_factors_keep_the_contract(options):
    factors = {"content": Linear(2), "kind": OneHot(3), "style": Gaussian(2)}
    check_part(Split(factors, pooled=("style",), normalized=("content",)), X=IMAGES[:, :7, :6], **options)
