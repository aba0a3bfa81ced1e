"""Checks of NIfTI files that SimpleITK does not make: truncated files, contradictory headers, non-finite voxels.

SimpleITK silently pads a truncated file with zeros, turns NaN and infinity into 0, and reads a voxel spacing of 0 as 1 mm.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ImageError

_GZIP_MAGIC = b"\x1f\x8b"
_MAGIC = b"n+1\0"
_BITS = {
    2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64, 1536: 128, 1792: 128, 2048: 256,
    2304: 32,
}  # fmt: skip
"""Bits per voxel by its number type; the header's own field may be wrong."""
_FLOATS = {16: "f4", 64: "f8"}
_SIZE, _SIZE_OF_NIFTI_2 = 348, 540
_FIELDS: Mapping[str, tuple[str, int]] = {
    "dimensions": ("8h", 40), "datatype": ("h", 70), "spacing": ("4f", 76), "offset": ("f", 108), "scaling": ("2f", 112),
    "codes": ("2h", 252), "quaternion": ("3f", 256), "shift": ("3f", 268), "sform": ("12f", 280), "magic": ("4s", 344),
}  # fmt: skip
"""Format for struct, and position, of the header's fields."""
_MOST_BEHIND = 1 << 20
_CHUNK = 1 << 24
_SAME_SPACING = 0.01
_SAME_PLACE_VOXELS = 0.5


@dataclass(frozen=True)
class NiftiHeader:
    """The relevant fields of a NIfTI header: byte ``order``, number type (``datatype``, ``bits``), ``dimensions``,
    ``spacing`` (the sign of the quaternion's third axis, then three spacings in the file's unit), ``offset`` of the first
    voxel, slope and intercept (``scaling``), the codes of qform and sform, the qform's ``quaternion`` and ``shift``, and the ``sform``
    (3, 4)."""

    order: str
    datatype: int
    bits: int
    dimensions: tuple[int, ...]
    spacing: tuple[float, ...]
    offset: int
    scaling: tuple[float, float]
    codes: tuple[int, int]
    quaternion: tuple[float, ...]
    shift: tuple[float, ...]
    sform: np.ndarray

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.dimensions)

    @property
    def end(self) -> int:
        """The position after the last voxel's last byte."""
        return self.offset + self.voxels * self.bits // 8

    def qform(self) -> np.ndarray:
        """The matrix (3, 4) from voxel indices to RAS by quaternion, shift and spacing."""
        b, c, d = self.quaternion
        a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
        turned = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        sign = -1.0 if self.spacing[0] < 0 else 1.0
        return np.column_stack([turned * np.array(self.spacing[1:]) * (1.0, 1.0, sign), self.shift])


def read_header(path: Path) -> NiftiHeader:
    """The header of a NIfTI-1 file, compressed or not. Raises ImageError when it is invalid or contradicts itself."""
    header = _header(_unpacked(path, _SIZE), path)
    if len(header.dimensions) < 3:
        return header
    spacing = header.spacing[1:]
    if not all(math.isfinite(s) and s > 0 for s in spacing):
        shown = " × ".join(f"{s:g}" for s in spacing)
        raise ImageError(f"{path}: the header's voxel spacing of {shown} is invalid. Correct the header, or convert the image again.")
    slope, intercept = header.scaling
    if math.isinf(slope) or (slope and not math.isnan(slope) and not math.isfinite(intercept)):  # 0 and NaN mean no scaling
        raise ImageError(f"{path}: slope {slope:g} and intercept {intercept:g} cannot scale voxels. Convert the image again.")
    _check_place(header, path)
    return header


def _check_place(header: NiftiHeader, path: Path) -> None:
    """Raise ImageError when the voxels' position is not finite, or its spacing differs from the header's."""
    qform, sform = (code > 0 for code in header.codes)
    stated = ([*header.quaternion, *header.shift] if qform else []) + (header.sform.ravel().tolist() if sform else [])
    if not np.isfinite(stated).all() or (qform and math.hypot(*header.quaternion) > 1.0 + 1e-3):
        raise ImageError(f"{path}: the header gives an invalid position (qform or sform is damaged). Convert the image again.")
    own = np.linalg.norm(header.sform[:, :3], axis=0)
    if sform and not qform and np.abs(own / header.spacing[1:] - 1.0).max() > _SAME_SPACING:
        shown = (" × ".join(f"{s:.4g}" for s in values) for values in (header.spacing[1:], own))
        raise ImageError(
            f"{path}: the header states a voxel spacing of {' and, in its sform, of '.join(shown)}. Correct it, or convert the image again."
        )


def header_notes(header: NiftiHeader) -> tuple[str, ...]:
    """Notes on a valid header that states no orientation, or two."""
    qform, sform = (code > 0 for code in header.codes)
    if not (qform or sform):
        return ("The header states no orientation (qform and sform codes are 0): left and right may be exchanged. Check them.",)
    if not (qform and sform):
        return ()
    far = np.array([*header.dimensions[:3], 1.0])
    near = np.array([0.0, 0.0, 0.0, 1.0])
    apart = max(float(np.linalg.norm((header.qform() - header.sform) @ corner)) for corner in (near, far))
    if apart <= _SAME_PLACE_VOXELS * min(header.spacing[1:]):
        return ()
    return (
        f"The header's qform and sform place the image differently, by up to {apart:.3g} mm. The sform is used, as in SPM, FSL and "
        "nibabel; the maps keep both. Check that the image lies where it should.",
    )


def non_finite_voxels(path: Path, header: NiftiHeader) -> np.ndarray | None:
    """True where a NIfTI file stores NaN or infinity, flat in the file's order; None if its number type has no such values.

    Raises ImageError when the file holds fewer voxels than its header states.
    """
    content = _content(path, header)
    if len(content) < header.end:
        raise _incomplete(path)
    if header.datatype not in _FLOATS:
        return None
    return ~np.isfinite(np.frombuffer(content, header.order + _FLOATS[header.datatype], header.voxels, header.offset))


def is_complete(path: Path) -> bool:
    """Whether a NIfTI file holds every voxel that its header states."""
    try:
        header = read_header(path)
        held = len(_content(path, header)) if is_compressed(path) else path.stat().st_size
        return held >= header.end
    except ImageError:
        return False


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed by gzip. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def _unpacked(path: Path, most: int) -> bytes:
    """At most ``most`` bytes of a file, decompressed: a file may unpack to any length."""
    try:
        packed = is_compressed(path)
        with path.open("rb") as file:
            return b"".join(_chunks(gzip.open(file) if packed else file, most))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _incomplete(path) from error


def _chunks(file: gzip.GzipFile | io.BufferedReader, most: int) -> Iterator[bytes]:
    """At most ``most`` bytes of a file, in chunks: reading the size of a damaged header at once could exhaust memory."""
    while most > 0 and (chunk := file.read(min(most, _CHUNK))):
        yield chunk
        most -= len(chunk)


def _content(path: Path, header: NiftiHeader) -> bytes:
    """The content of a file, read far enough behind the voxels to verify gzip's checksum."""
    return _unpacked(path, header.end + _MOST_BEHIND)


def _header(content: bytes, path: Path) -> NiftiHeader:
    for order in "<>":
        size = struct.unpack_from(order + "i", content)[0] if len(content) == _SIZE else None
        if size == _SIZE_OF_NIFTI_2:
            raise ImageError(f"{path} is a NIfTI-2 file, which is not read. Convert it to NIfTI-1.")
        if size == _SIZE:
            return _understood(order, {name: struct.unpack_from(order + kind, content, at) for name, (kind, at) in _FIELDS.items()}, path)
    raise _incomplete(path)


def _understood(order: str, fields: Mapping[str, Any], path: Path) -> NiftiHeader:
    rank, *dimensions = fields["dimensions"]
    (offset,), (magic,) = fields["offset"], fields["magic"]
    (datatype,), dimensions = fields["datatype"], dimensions[:rank]
    known = magic == _MAGIC and datatype in _BITS
    if not known or not 1 <= rank <= 7 or min(dimensions) < 1 or not (math.isfinite(offset) and offset >= _SIZE):
        raise _incomplete(path)
    return NiftiHeader(
        order, datatype, _BITS[datatype], tuple(dimensions), fields["spacing"], int(offset), fields["scaling"], fields["codes"],
        fields["quaternion"], fields["shift"], np.reshape(fields["sform"], (3, 4)).astype(float),
    )  # fmt: skip


def _incomplete(path: Path) -> ImageError:
    return ImageError(
        f"{path} cannot be read as an image (it ends early or is damaged). Check that the file is complete, or convert it again."
    )
