"""Pictures of fits, reconstructions, maps and scores: matplotlib figures in one style."""

from isthmus.pictures.curves import heat_strip, loss_curves, score_histogram
from isthmus.pictures.factors import factor_matrices
from isthmus.pictures.images import image_grid, images_and_map, samples_grid
from isthmus.pictures.maps import map_panel, scatter_map
from isthmus.pictures.movies import save_movie
from isthmus.pictures.series import series_pairs
from isthmus.pictures.spaces import scatter_space
from isthmus.pictures.strips import similar_strip
from isthmus.pictures.style import PALETTE, save, style

__all__ = [
    "PALETTE",
    "factor_matrices",
    "heat_strip",
    "image_grid",
    "images_and_map",
    "loss_curves",
    "map_panel",
    "samples_grid",
    "save",
    "save_movie",
    "scatter_map",
    "scatter_space",
    "score_histogram",
    "series_pairs",
    "similar_strip",
    "style",
]
