"""What SimpleITK does not tell about a NIfTI file: that it ends early, and which voxels are not finite.

SimpleITK reads a file that was cut off as if zeros followed, and turns NaN and infinity into 0 without a word.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import ImageError

_GZIP_MAGIC = b"\x1f\x8b"
_FLOATS = {16: "f4", 64: "f8"}


def non_finite_voxels(path: Path) -> np.ndarray | None:
    """True where a NIfTI-1 or NIfTI-2 file stores NaN or infinity, flat in the file's order; None where its number type has no such values.

    Raises ImageError when the file holds fewer voxels than its header announces.
    """
    content = _content(path)
    order, datatype, bits, dimensions, offset = _header(content, path)
    count = int(np.prod(dimensions))
    if len(content) < offset + count * bits // 8:
        raise _incomplete(path)
    if datatype not in _FLOATS:
        return None
    return ~np.isfinite(np.frombuffer(content, order + _FLOATS[datatype], count, offset))


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise _incomplete(path) from error


def _header(content: bytes, path: Path) -> tuple[str, int, int, tuple[int, ...], int]:
    """Byte order, number type, bits a voxel, size and position of the first voxel."""
    for order in "<>":
        if len(content) >= 348 and struct.unpack_from(order + "i", content)[0] == 348:
            datatype, bits = struct.unpack_from(order + "2h", content, 70)
            rank, *dimensions = struct.unpack_from(order + "8h", content, 40)
            offset = struct.unpack_from(order + "f", content, 108)[0]
        elif len(content) >= 540 and struct.unpack_from(order + "i", content)[0] == 540:
            datatype, bits = struct.unpack_from(order + "2h", content, 12)
            rank, *dimensions = struct.unpack_from(order + "8q", content, 16)
            offset = struct.unpack_from(order + "q", content, 168)[0]
        else:
            continue
        return order, datatype, bits, tuple(dimensions[:rank]), int(offset)
    raise _incomplete(path)


def _incomplete(path: Path) -> ImageError:
    return ImageError(
        f"{path} cannot be read as an image (it ends early or is damaged). Check that the file is complete, or convert it again."
    )
