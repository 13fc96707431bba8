"""Encoders and decoders: dense and convolutional."""

from isthmus.networks.convolution import ConvDecoder, ConvEncoder
from isthmus.networks.dense import MLPDecoder, MLPEncoder

__all__ = ["ConvDecoder", "ConvEncoder", "MLPDecoder", "MLPEncoder"]
