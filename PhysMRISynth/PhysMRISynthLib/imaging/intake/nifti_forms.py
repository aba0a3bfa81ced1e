"""The two positions in a NIfTI header (qform, sform): the sform takes precedence, and results keep both.

SPM, FSL, nibabel and FreeSurfer use the sform if its code is above 0, else the qform; ITK mostly uses the qform. Results must
overlay their image in all of them, so the sform takes precedence here too, and results get both forms and codes of their reference.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .nifti import NiftiHeader

_KEY = "PhysMRISynthForms"
"""Metadata key of an image: the bytes below as hexadecimal digits."""
_FIRST, _FORMAT = 252, "<2h18f"
"""Position of codes, quaternion, shift and sform in a header, and their types."""
_SPACING = 76
"""Position of the sign of the quaternion's third axis, before the spacings."""
_SAME_MM = 0.01
_TO_LPS = np.array([[-1.0], [-1.0], [1.0]])


def placed(image: sitk.Image, header: NiftiHeader, most_skew: float) -> sitk.Image:
    """The image positioned by its header's sform, if that has a code and right angles (within the cosine ``most_skew``), with the header's
    forms as metadata."""
    qform_code, sform_code = header.codes
    if sform_code > 0 and len(header.dimensions) >= 3:
        scale = image.GetSpacing()[0] / header.spacing[1]  # ITK has converted the file's unit of length to mm
        matrix = header.sform * _TO_LPS * (scale if qform_code > 0 else _scale(header, image))
        spacing = np.linalg.norm(matrix[:, :3], axis=0)
        if spacing.min() > 0.0:
            axes = matrix[:, :3] / spacing
            if np.abs(axes.T @ axes - np.eye(3)).max() <= most_skew:
                u, _, v = np.linalg.svd(axes)
                image.SetSpacing(spacing.tolist())
                image.SetDirection((u @ v).ravel().tolist())
                image.SetOrigin(matrix[:, 3].tolist())
    if qform_code > 0 or sform_code > 0:
        handed = -1.0 if header.spacing[0] < 0 else 1.0
        values = (*header.codes, *header.quaternion, *header.shift, *header.sform.ravel())
        image.SetMetaData(_KEY, (struct.pack(_FORMAT, *values) + struct.pack("<f", handed)).hex())
    return image


def _scale(header: NiftiHeader, image: sitk.Image) -> float:
    """ITK's factor on lengths."""
    return float(image.GetSpacing()[0] / np.linalg.norm(header.sform[:, 0]))


def copy_forms(image: sitk.Image, reference: sitk.Image) -> None:
    """Copy the reference's forms, if any, to an image of the same geometry."""
    if reference.HasMetaDataKey(_KEY):
        image.SetMetaData(_KEY, reference.GetMetaData(_KEY))


def forms_of(image: sitk.Image) -> bytes | None:
    """The forms of an image for its file's header; None if it has none, or they contradict its position."""
    if not image.HasMetaDataKey(_KEY):
        return None
    packed = bytes.fromhex(image.GetMetaData(_KEY))
    _, sform_code, *values = struct.unpack(_FORMAT, packed[:-4])
    if sform_code <= 0:
        return packed
    sform = np.reshape(values[6:], (3, 4)) * _TO_LPS
    far = [n - 1 for n in image.GetSize()]
    apart = np.linalg.norm(sform @ [*far, 1.0] - image.TransformIndexToPhysicalPoint(far))
    return packed if apart < _SAME_MM + 1e-3 * np.linalg.norm(np.multiply(far, image.GetSpacing())) else None


def write_forms(path: Path, packed: bytes) -> None:
    """Write forms into the header of an uncompressed NIfTI file. Raises OSError."""
    with path.open("r+b") as file:
        file.seek(_SPACING)
        file.write(packed[-4:])
        file.seek(_FIRST)
        file.write(packed[:-4])
