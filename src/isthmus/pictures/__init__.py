"""Pictures of fits, reconstructions, maps and scores: matplotlib figures in one style."""

from isthmus.pictures.curves import heat_strip, loss_curves, score_histogram
from isthmus.pictures.images import image_grid, images_and_map, samples_grid
from isthmus.pictures.maps import map_panel, scatter_map
from isthmus.pictures.movies import save_movie
from isthmus.pictures.style import PALETTE, save, style

__all__ = [
    "PALETTE",
    "heat_strip",
    "image_grid",
    "images_and_map",
    "loss_curves",
    "map_panel",
    "samples_grid",
    "save",
    "save_movie",
    "scatter_map",
    "score_histogram",
    "style",
]
