"""Entropy coding and file formats in whole numbers: the same bytes and the same values on every machine.

Nothing here knows of auto-encoders or torch. From below to above: tables of frequencies, the
rANS coder, whole numbers of any size, contexts (of latent maps, of arrays), floats within a
bound, and the container that all files have in common.
"""

from isthmus.coding.bounds import LOSSLESS, MODES, Bound
from isthmus.coding.container import ARRAY, IMAGE, VECTORS, Chunk, Contents
from isthmus.coding.contexts import Contexts, MagnitudeContexts, channel_groups
from isthmus.coding.errors import CorruptStreamError
from isthmus.coding.fields import decode_field, encode_field
from isthmus.coding.floats import decode_exact, decode_near, encode_exact, encode_near, nearness
from isthmus.coding.integers import decode_values, encode_values
from isthmus.coding.latents import LatentCoder
from isthmus.coding.linear_contexts import LinearContexts
from isthmus.coding.rans import Decoder, Encoder, lanes_for
from isthmus.coding.tables import Tables, frequencies_of

__all__ = [
    "ARRAY",
    "IMAGE",
    "LOSSLESS",
    "MODES",
    "VECTORS",
    "Bound",
    "Chunk",
    "Contents",
    "Contexts",
    "CorruptStreamError",
    "Decoder",
    "Encoder",
    "LatentCoder",
    "LinearContexts",
    "MagnitudeContexts",
    "Tables",
    "channel_groups",
    "decode_exact",
    "decode_field",
    "decode_near",
    "decode_values",
    "encode_exact",
    "encode_field",
    "encode_near",
    "encode_values",
    "frequencies_of",
    "lanes_for",
    "nearness",
]
