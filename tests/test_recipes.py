"""Recipes: a paper's name gives an auto-encoder that fits, saves, and can be told on the command line."""

import inspect

import numpy as np
import pytest
from click.testing import CliRunner

from isthmus import AutoEncoder, recipes, saving
from isthmus.cli import main
from isthmus.recipes.making import make

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 255, (24, 8, 8), dtype=np.uint8)
SERIES = [RANDOM.normal(size=(steps, 2)) for steps in [9, 12] * 12]
OF_SERIES = ("seq2seq_autoencoder", "contrastive_predictive_coding")


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes.__all__)
def test_every_recipe_fits_and_comes_back_from_a_file(name, tmp_path):
    rows = SERIES if name in OF_SERIES else IMAGES
    model = getattr(recipes, name)(max_epochs=1, threads=1, random_state=0).fit(rows)
    saving.save(model, tmp_path / "model")
    assert np.array_equal(model.transform(rows), saving.load(tmp_path / "model").transform(rows))


@pytest.mark.parametrize("name", recipes.__all__)
def test_every_recipe_names_its_paper_and_takes_the_estimators_options(name):
    recipe = getattr(recipes, name)
    assert any(year in inspect.getdoc(recipe) for year in map(str, range(2006, 2025)))
    model = recipe(max_epochs=3, bottleneck="linear(size=2)")
    assert isinstance(model, AutoEncoder)
    assert (model.max_epochs, model.bottleneck) == (3, "linear(size=2)")


def test_an_argument_reaches_the_part():
    assert make("beta_vae(size=3, beta=2.5)").bottleneck.get_params(deep=False)["beta"] == 2.5
    assert make("Deep-Autoencoder(hidden=(20, 10))", "tables").modality == "tables"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vqvae", "no recipe is called 'vqvae'. The recipes: adversarial_autoencoder"),
        ("make", "no recipe is called"),
        ("vae(depth=3)", "has no argument 'depth'; it has: size, sigma"),
        ("vae(modality='x')", "has no argument 'modality'"),
        ("vae(3)", "write a recipe as name"),
        ("vae(size=__import__('os'))", "write a recipe as name"),
        ("vae(size=3", "write a recipe as name"),
        ("vae(**{})", "write a recipe as name"),
    ],
)
def test_text_that_is_no_recipe_is_refused(text, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        make(text)


def test_the_command_line_fits_a_recipe(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    words = ["fit", str(tmp_path / "images.npy"), "-o", str(tmp_path / "model"), "--set", "max_epochs=1"]
    done = CliRunner().invoke(main, [*words, "--recipe", "beta_vae(size=3)", "--set", "bottleneck__beta=2.0"])
    assert done.exit_code == 0, done.output
    bottleneck = saving.load(tmp_path / "model").module_.bottleneck
    assert (bottleneck.size, bottleneck.beta) == (3, 2.0)
    wrong = CliRunner().invoke(main, [*words, "--recipe", "beta_vea"])
    assert wrong.exit_code == 2
    assert "no recipe is called 'beta_vea'" in wrong.output
