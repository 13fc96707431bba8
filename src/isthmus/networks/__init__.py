"""Encoders and decoders: dense, convolutional, lapped, around a codec, recurrent, temporal convolution, transformer."""

from isthmus.networks.compact import CompactEncoder, RestoringDecoder
from isthmus.networks.convolution import ConvDecoder, ConvEncoder
from isthmus.networks.dense import MLPDecoder, MLPEncoder
from isthmus.networks.gdn import GDNDecoder, GDNEncoder
from isthmus.networks.lapped import LappedDecoder, LappedEncoder
from isthmus.networks.recurrent import RecurrentDecoder, RecurrentEncoder
from isthmus.networks.temporal import TemporalDecoder, TemporalEncoder
from isthmus.networks.transformer import TransformerDecoder, TransformerEncoder

__all__ = [
    "CompactEncoder",
    "ConvDecoder",
    "ConvEncoder",
    "GDNDecoder",
    "GDNEncoder",
    "LappedDecoder",
    "LappedEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "RestoringDecoder",
    "TemporalDecoder",
    "TemporalEncoder",
    "TransformerDecoder",
    "TransformerEncoder",
]
