"""A rendered contrast as a classic series of MR Image Storage: one file a slice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ... import __version__
from ...errors import ImageError
from ...physics.protocol import Protocol
from .common import NOT_FOR_DIAGNOSIS, reference, stamp
from .identity import Identity
from .mr_attributes import mr_attributes
from .planes import Planes, planes_of

if TYPE_CHECKING:
    from pydicom import Dataset

_LONGEST_DESCRIPTION = 64


@dataclass(frozen=True)
class Quantised:
    """16-bit ``stored`` values; ``stored`` · ``slope`` is the image within half of ``slope``, the quantisation step."""

    stored: np.ndarray
    slope: float


def quantise(voxels: np.ndarray, signed: bool) -> Quantised:
    """Quantise the image to 16 bits, with 0 kept as 0. Raises ImageError for values that are not finite."""
    from pydicom.valuerep import format_number_as_ds

    greatest = float(np.abs(voxels).max())
    if not np.isfinite(greatest):
        raise ImageError("The rendered image has values that are not finite. Check the maps for voxels without T1 or T2.")
    levels = 32766 if signed else 65534  # one short of the range, so that rounding the slope cannot leave it
    slope = float(format_number_as_ds(greatest / levels)) if greatest > 0 else 1.0
    return Quantised(np.rint(voxels / slope).astype(np.int16 if signed else np.uint16), slope)


def write_mr_series(
    voxels: np.ndarray, grid: sitk.Image, protocol: Protocol, identity: Identity, number: int, folder: Path, stem: str, maps: str,
    added: str = "",
) -> float:  # fmt: skip
    """Write ``voxels`` (z, y, x) on ``grid`` as ``STEM_0001.dcm`` and so on into ``folder``; returns the quantisation step.

    ``number`` is the series number; the derivation's description names the tissue ``maps``, and what was ``added`` to the ideal image.
    Raises ImageError when the grid has no DICOM planes or the image is not finite.
    """
    planes = planes_of(grid)
    quantised = quantise(voxels, protocol.sequence.signed)
    common = _common(planes, quantised, protocol, identity, number, maps, added)
    common.WindowCenter, common.WindowWidth = _window(voxels, protocol.sequence.signed)
    for row, frame in enumerate(planes.frames(quantised.stored)):
        _write_slice(common, planes, row, frame, folder / f"{stem}_{row + 1:04d}.dcm")
    return quantised.slope


def _common(planes: Planes, quantised: Quantised, protocol: Protocol, identity: Identity, number: int, maps: str, added: str) -> Dataset:
    """Attributes common to all slices of the series."""
    from pydicom import Dataset
    from pydicom.uid import MRImageStorage, generate_uid

    dataset = Dataset()
    stamp(dataset, identity, datetime.now())
    dataset.SOPClassUID = MRImageStorage
    dataset.SeriesInstanceUID = generate_uid(prefix=None)
    dataset.SeriesNumber = number
    name = protocol.sequence.name.upper()
    origin = maps.encode("ascii", "replace").decode()  # the source's character set may lack letters of a folder's name
    dataset.SeriesDescription = f"SYNTHETIC - {NOT_FOR_DIAGNOSIS}: {name}"[:_LONGEST_DESCRIPTION]
    dataset.ProtocolName = name
    simulated = f", with simulated scanner effects ({added})" if added else ""
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.DerivationDescription = (
        f"SYNTHETIC - {NOT_FOR_DIAGNOSIS}. Rendered by PhysMRISynth {__version__} from tissue maps ({origin}) with protocol "
        f"{protocol.spec} (ms, degrees){simulated}; 16-bit values in steps of {quantised.slope:.3g}"
    )[:1024]
    if identity.images:
        dataset.SourceImageSequence = [reference(image) for image in identity.images]
    for keyword, value in mr_attributes(protocol).items():
        setattr(dataset, keyword, _decimal(value) if isinstance(value, float) else value)
    _add_pixel_description(dataset, planes, quantised)
    return dataset


def _add_pixel_description(dataset: Dataset, planes: Planes, quantised: Quantised) -> None:
    between_rows, between_columns, between_slices = planes.spacing
    dataset.PixelSpacing = [_decimal(between_rows), _decimal(between_columns)]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _decimal(between_slices)
    dataset.ImageOrientationPatient = [_decimal(cosine) for cosine in planes.orientation]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = quantised.stored.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(quantised.stored.dtype == np.int16)
    dataset.RescaleIntercept = "0"
    dataset.RescaleSlope = _decimal(quantised.slope)
    dataset.RescaleType = "US"


def _write_slice(common: Dataset, planes: Planes, row: int, frame: np.ndarray, path: Path) -> None:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.update(common)
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.InstanceNumber = row + 1
    dataset.ImagePositionPatient = [_decimal(coordinate) for coordinate in planes.positions[row]]
    dataset.PixelData = np.ascontiguousarray(frame).astype(frame.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


def _window(voxels: np.ndarray, signed: bool) -> tuple[str, str]:
    """Centre and width that show all but the brightest 1 % of non-air voxels; symmetric about 0 for signed images."""
    shown = np.abs(voxels[voxels != 0])
    high = float(np.percentile(shown, 99)) if shown.size else 1.0
    return (_decimal(0.0), _decimal(2 * high)) if signed else (_decimal(high / 2), _decimal(high))


def _decimal(value: float) -> str:
    """The most exact decimal in the 16 characters that DICOM allows."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))
