"""Vectors in some bytes each: sums are the best found, files come back, search is that of what comes back."""

import itertools

import numpy as np
import pytest
import torch

from isthmus import AutoEncoder
from isthmus.checks import check_job
from isthmus.coding import VECTORS, CorruptStreamError, Tables, container
from isthmus.jobs import SimilaritySearch, VectorCompressor, additive_learning
from isthmus.jobs.additive import SYMBOLS, AdditiveCode, Lookup
from isthmus.jobs.additive_learning import learn
from isthmus.jobs.vector_baselines import LeadingComponents, ProductQuantizer
from isthmus.jobs.vector_stream import HEAD, open_vectors, symbols_of, write_vectors
from isthmus.modalities import Vectors
from isthmus.nearest import nearest
from isthmus.rows import as_rows
from isthmus.saving import load, save


def embeddings(n: int, seed: int = 0, width: int = 12) -> np.ndarray:
    """Return vectors of unequal spread around some centres, off the origin."""
    random = np.random.default_rng(seed)
    centres = 3 * np.random.default_rng(99).normal(size=(30, width))
    vectors = centres[random.integers(0, 30, n)] + random.normal(size=(n, width))
    return (vectors * np.linspace(2, 0.2, width) + 40).astype(np.float32)


def a_code(depth: int = 3, width: int = 5, seed: int = 0) -> AdditiveCode:
    scales = 2.0 ** -torch.arange(depth)[:, None, None]
    return AdditiveCode(torch.randn(depth, SYMBOLS, width, generator=torch.Generator().manual_seed(seed)) * scales)


def mean_error(code: AdditiveCode, x: torch.Tensor, beam: int) -> float:
    return float((x - code.decode(code.encode(x, beam))).square().sum(1).mean())


@pytest.fixture(scope="module")
def fitted():
    return VectorCompressor(n_bytes=4, random_state=0).fit(embeddings(1_200))


def test_a_sum_is_that_of_the_chosen_codes():
    code = a_code()
    symbols = torch.tensor([[3, 0, 255], [7, 8, 9]])
    expected = torch.stack([sum(code.codebooks[k, s] for k, s in enumerate(line)) for line in symbols.tolist()])
    torch.testing.assert_close(code.decode(symbols), expected)


def test_a_beam_as_wide_as_a_codebook_finds_the_best_of_all_pairs():
    code, x = a_code(depth=2), torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    pairs = (code.codebooks[0][:, None] + code.codebooks[1][None]).flatten(0, 1)
    best = torch.cdist(x.double(), pairs.double()).argmin(1)
    found = code.encode(x, beam=SYMBOLS)
    assert (found[:, 0] * SYMBOLS + found[:, 1]).tolist() == best.tolist()


def test_a_beam_of_one_takes_the_nearest_code_of_each_level_and_wider_ones_err_less():
    code, x = a_code(), torch.randn(200, 5, generator=torch.Generator().manual_seed(2))
    left, symbols = x, []
    for book in code.codebooks:
        symbols.append(torch.cdist(left.double(), book.double()).argmin(1))
        left = left - book[symbols[-1]]
    assert torch.equal(code.encode(x, beam=1), torch.stack(symbols, 1))
    errors = [mean_error(code, x, beam) for beam in (1, 4, 32)]
    assert errors[0] > errors[1] > errors[2]


def test_beams_come_best_first_and_differ():
    code, x = a_code(), torch.randn(6, 5, generator=torch.Generator().manual_seed(3))
    beams = code.beams(x, 8)
    errors = (x[:, None] - code.decode(beams.flatten(0, 1)).view(6, 8, 5)).square().sum(2)
    assert (errors.diff(dim=1) > -1e-5).all()
    assert all(len({tuple(one) for one in line}) == 8 for line in beams.tolist())


def test_search_by_tables_is_search_among_what_the_symbols_stand_for(monkeypatch):
    monkeypatch.setattr("isthmus.jobs.additive.VECTORS", 64)
    code, random = a_code(width=9), torch.Generator().manual_seed(4)
    symbols = torch.randint(0, SYMBOLS, (300, 3), generator=random).byte()
    queries = torch.randn(70, 9, generator=random)
    found = Lookup(code, symbols).nearest(queries, 7)
    expected = nearest(queries, code.decode(symbols.long()), 7)
    torch.testing.assert_close(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    everything = Lookup(code, symbols).nearest(queries[:1], 300)[1]
    assert sorted(everything[0].tolist()) == list(range(300))
    with pytest.raises(ValueError, match="from 1 to 300"):
        Lookup(code, symbols).nearest(queries, 301)


def test_least_squares_finds_the_codebooks_behind_sums(monkeypatch):
    monkeypatch.setattr(additive_learning, "RIDGE", 1e-6)
    true = a_code(depth=2, width=3)
    symbols = torch.randint(0, SYMBOLS, (4_000, 2), generator=torch.Generator().manual_seed(5))
    start = AdditiveCode(true.codebooks + 0.1 * torch.randn(true.codebooks.shape))
    again = additive_learning._refitted(true.decode(symbols), start, symbols)
    torch.testing.assert_close(again.decode(symbols), true.decode(symbols), atol=1e-3, rtol=0)


def test_rounds_of_least_squares_lower_the_error_of_what_was_learned_from():
    x = torch.from_numpy(embeddings(2_000) - 40)
    plain, better = (learn(x, 3, rounds=rounds) for rounds in (0, 2))
    assert mean_error(better, x, 5) < 0.97 * mean_error(plain, x, 5)


def test_fewer_vectors_than_codes_come_back_as_they_were():
    x = torch.from_numpy(embeddings(40) - 40)
    code = learn(x, 1)
    torch.testing.assert_close(code.decode(code.encode(x)), x, atol=1e-4, rtol=0)
    constant = torch.full((30, 4), 2.0)
    assert torch.equal(learn(constant, 2).codebooks.isfinite().all(), torch.tensor(True))


def test_the_default_auto_encoder_keeps_distances():
    X = embeddings(400)
    model = VectorCompressor().default_estimator(X).set_params(random_state=0, threads=1).fit(X)
    codes = torch.from_numpy(model.transform(X[:50])).double() * model.modality_.scale
    given = torch.from_numpy(X[:50]).double()
    torch.testing.assert_close(torch.cdist(codes, codes), torch.cdist(given, given), atol=1e-3, rtol=0)
    np.testing.assert_allclose(model.reconstruct(X), X, atol=1e-3)


def test_a_file_holds_the_bytes_and_each_more_lowers_the_error(fitted):
    X = embeddings(3_000, seed=1)
    data, codes = fitted.compress(X), fitted.codes(X)
    assert codes.shape == (3_000, 4)
    assert codes.dtype == np.uint8
    assert len(data) < 4 * 3_000 + 400
    np.testing.assert_array_equal(fitted.unpack(data), codes)
    back = fitted.decompress(data)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, fitted.decode(codes))
    other = VectorCompressor(n_bytes=2, random_state=0).fit(embeddings(1_200))
    errors = [np.square(X - job.decompress(job.compress(X))).sum(1).mean() for job in (fitted, other)]
    assert 1.5 * errors[0] < errors[1] < X.var(axis=0).sum()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_vectors_come_back_in_their_type(fitted, dtype):
    X = embeddings(20, seed=1).astype(dtype)
    assert fitted.decompress(fitted.compress(X)).dtype == dtype


def test_search_finds_neighbours_in_a_file_with_distances_in_the_vectors_units(fitted):
    X, queries = embeddings(2_000, seed=1), embeddings(100, seed=2)
    data = fitted.compress(X)
    distances, rows = fitted.search(queries, data, 10)
    expected = nearest(torch.from_numpy(queries), torch.from_numpy(fitted.decompress(data)), 10)
    np.testing.assert_allclose(distances, expected[0], atol=1e-2)
    truth = nearest(torch.from_numpy(queries), torch.from_numpy(X), 1)[1].numpy()
    assert (rows == truth).any(1).mean() > 0.8
    np.testing.assert_array_equal(fitted.search(queries, fitted.codes(X), 10)[1], rows)


def test_a_fit_can_be_repeated_and_saved(fitted, tmp_path):
    X = embeddings(50, seed=3)
    again = VectorCompressor(n_bytes=4, random_state=0).fit(embeddings(1_200))
    assert again.model_ == fitted.model_
    save(fitted, tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert loaded.model_ == fitted.model_
    assert loaded.compress(X) == fitted.compress(X)
    np.testing.assert_array_equal(loaded.decompress(fitted.compress(X)), fitted.decompress(fitted.compress(X)))
    assert loaded.compare(X, X)[0] == fitted.compare(X, X)[0]


def test_any_auto_encoders_codes_can_be_quantised():
    X = embeddings(200)
    check_job(VectorCompressor(AutoEncoder(bottleneck="linear(size=3)"), n_bytes=2), X=X)


def test_it_is_compared_with_what_takes_as_many_bytes(fitted):
    found = {row["method"]: row for row in fitted.compare(embeddings(1_200), embeddings(900, seed=1))}
    assert set(found) == {"auto-encoder", "product quantizer", "PCA, float32"}
    assert {row["bytes"] for row in found.values()} == {4}
    ours, pq = found["auto-encoder"], found["product quantizer"]
    assert ours["error"] < pq["error"] < 1
    assert ours["recall_at_1"] <= ours["recall_at_10"]


def test_baselines_are_exact_where_bytes_suffice():
    X = embeddings(200).astype(np.float64)
    np.testing.assert_allclose(ProductQuantizer(2, random_state=0).fit(X).transform(X), X, atol=1e-9)
    np.testing.assert_allclose(LeadingComponents(12).fit(X).transform(X), X, atol=1e-4)


def test_even_symbols_are_stored_plain_and_uneven_ones_coded():
    random = np.random.default_rng(0)
    even, uneven = random.integers(0, 256, (70_000, 2)), random.binomial(255, 0.5, (70_000, 2))
    for symbols, most in ((even, 1.001), (uneven, 0.7)):
        counts = np.stack([np.bincount(one, minlength=256) for one in symbols.T])
        tables, given = Tables.from_counts(counts), symbols.astype(np.uint8)
        data = write_vectors(given, 5, np.dtype(np.float32), tables, 7)
        assert len(data) < most * given.size + 200
        np.testing.assert_array_equal(symbols_of(*open_vectors(data), tables), given)
    empty = write_vectors(np.zeros((0, 2), np.uint8), 5, np.dtype(np.float32), tables, 7)
    assert symbols_of(*open_vectors(empty), tables).shape == (0, 2)


def test_damage_is_said_and_never_silent(fitted):
    data = fitted.compress(embeddings(300, seed=1))
    whole = fitted.decompress(data)
    random = np.random.default_rng(0)
    for place in [*range(0, len(data), 41), *random.integers(0, len(data), 60).tolist()]:
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(random.integers(8))
        for damaged in (bytes(flipped), data[:place]):
            with pytest.raises(CorruptStreamError):
                fitted.decompress(damaged)
    np.testing.assert_array_equal(fitted.decompress(data), whole)


def test_lies_of_a_file_whose_checksums_fit_are_found(fitted):
    data = fitted.compress(embeddings(300, seed=1))
    contents = container.read(data, known=(b"SYMB",))
    n, width, depth, kind = HEAD.unpack(contents.header)

    def file(header, chunks=contents.chunks, kind_of=VECTORS, model=fitted.model_):
        return container.write(kind_of, header, chunks, model=model)

    for header in itertools.chain(
        (HEAD.pack(2**60, width, depth, kind), HEAD.pack(n, 0, depth, kind), HEAD.pack(n, width, depth, 9), b""),
        (HEAD.pack(n + 1, width, depth, kind), HEAD.pack(n, width + 1, depth, kind), HEAD.pack(n, width, 3, kind)),
    ):
        with pytest.raises(CorruptStreamError):
            fitted.decompress(file(header))
    for payload in (b"", b"\x00" + bytes(5), b"\x01" + bytes(64), b"\x02"):
        with pytest.raises(CorruptStreamError, match="block 0 of 1"):
            fitted.decompress(file(contents.header, [container.Chunk(b"SYMB", payload)]))
    with pytest.raises(CorruptStreamError, match="no vectors"):
        fitted.decompress(file(contents.header, kind_of=container.ARRAY))
    with pytest.raises(ValueError, match="needs the model 0000000000000001"):
        fitted.decompress(file(contents.header, model=1))
    with pytest.raises(ValueError, match="more than the limit of 100"):
        fitted.decompress(data, limit=100)


@pytest.mark.parametrize(
    ("job", "X", "message"),
    [
        (VectorCompressor(n_bytes=0), embeddings(30), "n_bytes must be a whole number from 1 to 32"),
        (VectorCompressor(beam=257), embeddings(30), "beam must be a whole number from 1 to 256"),
        (VectorCompressor(), np.full((30, 3), np.nan), "vector 0 contains NaN"),
        (VectorCompressor(), np.zeros((30, 3, 3)), r"an array of numbers \(n, d\)"),
    ],
)
def test_what_cannot_be_is_refused(job, X, message):
    with pytest.raises(ValueError, match=message):
        job.fit(X)


def test_other_widths_codes_and_states_are_refused(fitted):
    with pytest.raises(ValueError, match="5 features"):
        fitted.compress(np.zeros((3, 5), np.float32))
    with pytest.raises(ValueError, match=r"expected codes \(n, 4\) of uint8"):
        fitted.decode(np.zeros((3, 5), np.uint8))
    state = fitted.state()
    for wrong in ({"codebooks": state["codebooks"][:2]}, {"codebooks": state["codebooks"] * np.nan}, {"tables": None}):
        with pytest.raises(ValueError, match="codebooks|tables"):
            fitted.restore(state | wrong)


def test_vectors_as_a_modality_keep_the_ratios_of_distances():
    X = embeddings(300)
    rows = as_rows(X)
    modality = Vectors().fit(rows)
    x = modality.to_batch(rows, torch.float64).x
    given = torch.from_numpy(X).double()
    torch.testing.assert_close(torch.cdist(x, x) * modality.scale, torch.cdist(given, given), atol=1e-4, rtol=0)
    assert float(x.var(0, correction=0).mean()) == pytest.approx(1)
    np.testing.assert_allclose(modality.to_rows(x), X, rtol=1e-6)
    with pytest.raises(ValueError, match="vector 7 contains NaN or infinity"):
        Vectors().fit(as_rows(np.where(np.arange(300)[:, None] == 7, np.inf, X)))
    found = SimilaritySearch(AutoEncoder("vectors", max_epochs=1, threads=1, random_state=0)).fit(X)
    assert found.kneighbors(X[:3], 1)[1][:, 0].tolist() == [0, 1, 2]
