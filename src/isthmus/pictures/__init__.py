"""Pictures of fits, reconstructions, maps and scores: matplotlib figures in one style."""

from isthmus.pictures.alarms import alarm_strip
from isthmus.pictures.alerts import alert_map, precision_recall, score_distribution
from isthmus.pictures.curves import heat_strip, loss_curves, score_histogram
from isthmus.pictures.factors import factor_matrices
from isthmus.pictures.faults import fault_strip
from isthmus.pictures.images import image_grid, images_and_map, samples_grid
from isthmus.pictures.maps import map_panel, scatter_map
from isthmus.pictures.movies import save_movie
from isthmus.pictures.rates import crops, rate_distortion
from isthmus.pictures.series import series_pairs
from isthmus.pictures.shifts import shift_of_categories, shift_of_numbers
from isthmus.pictures.spaces import scatter_space
from isthmus.pictures.strips import similar_strip
from isthmus.pictures.style import PALETTE, save, style

__all__ = [
    "PALETTE",
    "alarm_strip",
    "alert_map",
    "crops",
    "factor_matrices",
    "fault_strip",
    "heat_strip",
    "image_grid",
    "images_and_map",
    "loss_curves",
    "map_panel",
    "precision_recall",
    "rate_distortion",
    "samples_grid",
    "save",
    "save_movie",
    "scatter_map",
    "scatter_space",
    "score_distribution",
    "score_histogram",
    "series_pairs",
    "shift_of_categories",
    "shift_of_numbers",
    "similar_strip",
    "style",
]
