"""Jobs: what a code is good for, each a scikit-learn meta-estimator around one auto-encoder."""

from isthmus.jobs.compress import Compressor
from isthmus.jobs.denoise import Denoiser
from isthmus.jobs.detect import AnomalyDetector
from isthmus.jobs.map import Mapper
from isthmus.jobs.pretrain import PretrainedClassifier, PretrainedRegressor
from isthmus.jobs.sample import Generator
from isthmus.jobs.search import SimilaritySearch
from isthmus.jobs.series import SeriesDetector
from isthmus.jobs.swap import FactorSwapper
from isthmus.jobs.vectors import VectorCompressor
from isthmus.jobs.wrap import WrappedCodec

__all__ = [
    "AnomalyDetector",
    "Compressor",
    "Denoiser",
    "FactorSwapper",
    "Generator",
    "Mapper",
    "PretrainedClassifier",
    "PretrainedRegressor",
    "SeriesDetector",
    "SimilaritySearch",
    "VectorCompressor",
    "WrappedCodec",
]
