"""Encoders and decoders: dense, convolutional, recurrent, temporal convolution, transformer."""

from isthmus.networks.convolution import ConvDecoder, ConvEncoder
from isthmus.networks.dense import MLPDecoder, MLPEncoder
from isthmus.networks.recurrent import RecurrentDecoder, RecurrentEncoder
from isthmus.networks.temporal import TemporalDecoder, TemporalEncoder
from isthmus.networks.transformer import TransformerDecoder, TransformerEncoder

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "TemporalDecoder",
    "TemporalEncoder",
    "TransformerDecoder",
    "TransformerEncoder",
]
