"""A tissue property, or its standard deviation, as a DICOM Parametric Map of float32 voxels with coded quantity and unit.

Works with highdicom 0.27, which Slicer ships, or later: everything that differs between versions is set explicitly.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ... import __version__
from ...errors import ImageError
from .common import MANUFACTURER, NOT_FOR_DIAGNOSIS, reference, stamp
from .identity import Identity
from .planes import Planes, planes_of

if TYPE_CHECKING:
    from pydicom import Dataset

_NO_SERIAL_NUMBER = "NONE"
"""The standard requires one in every Parametric Map; software has none."""


@dataclass(frozen=True)
class Quantity:
    """A map's name, the keyword of its DICOM code, and the code and meaning of its UCUM unit."""

    name: str
    code: str
    unit: str
    unit_meaning: str


QUANTITIES = {
    "PD": Quantity("PD", "ProtonDensity", "%", "Percent"),
    "T1": Quantity("T1", "T1", "ms", "millisecond"),
    "T2": Quantity("T2", "T2", "ms", "millisecond"),
}


def write_parametric_map(
    voxels: np.ndarray,
    grid: sitk.Image,
    quantity: Quantity,
    deviation: bool,
    identity: Identity,
    number: int,
    path: Path,
    protocols_assumed: bool = False,
) -> None:
    """Write ``voxels`` (z, y, x; in the quantity's unit) on ``grid`` as one file. ``deviation``: they are the SD of the quantity.

    ``protocols_assumed`` is stated in the descriptions, which viewers show.

    Raises ImageError when the grid has no DICOM planes, or values are not finite.
    """
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
    from highdicom.pm import ParametricMap
    from pydicom.uid import generate_uid

    if not np.isfinite(voxels).all():
        raise ImageError(f"The map of {quantity.name} has values that are not finite. Write the maps again.")
    planes = planes_of(grid)
    frames = np.ascontiguousarray(planes.frames(voxels), dtype=np.float32)
    name = f"{quantity.name} SD" if deviation else quantity.name
    basis = ", protocol assumed" if protocols_assumed else ""
    between_rows, between_columns, between_slices = planes.spacing
    high = float(np.percentile(frames[frames > 0], 99)) if (frames > 0).any() else 1.0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The string .* is unlikely to represent")  # a name is copied as it is
        result = ParametricMap(
            source_images=_carriers(identity, planes, frames),
            pixel_array=frames,
            series_instance_uid=generate_uid(prefix=None),
            series_number=number,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=__version__,
            device_serial_number=_NO_SERIAL_NUMBER,
            contains_recognizable_visual_features=True,  # a head's surface shows a face
            real_world_value_mappings=[_mapping(frames, quantity, deviation)],
            **_window(high / 2, high),
            pixel_measures=PixelMeasuresSequence([between_rows, between_columns], between_slices, between_slices),
            plane_orientation=PlaneOrientationSequence("PATIENT", planes.orientation.tolist()),
            plane_positions=[PlanePositionSequence("PATIENT", position.tolist()) for position in planes.positions],
            content_label=f"{name.replace(' ', '_')}_ESTIMATED",
            content_description=f"{name} estimated{basis or ' from weighted images'} - {NOT_FOR_DIAGNOSIS}",  # 64 characters at most
            series_description=f"ESTIMATED {name}{basis.upper()} - {NOT_FOR_DIAGNOSIS}",
        )
    _refer(result, identity)
    if "PatientAge" in result and "PatientAge" not in identity.attributes:
        del result.PatientAge  # highdicom copies it from the source even where it is invalid
    stamp(result, identity, datetime.now())
    result.save_as(path, enforce_file_format=True)


def _mapping(frames: np.ndarray, quantity: Quantity, deviation: bool) -> Any:
    """The mapping of stored to real-world values: the identity, in the quantity's unit."""
    from highdicom.pm import RealWorldValueMapping
    from highdicom.sr import CodeContentItem, CodedConcept
    from pydicom.sr.codedict import codes

    name = f"{quantity.name} SD" if deviation else quantity.name
    mapping = RealWorldValueMapping(
        lut_label=f"{name} {quantity.unit}",
        lut_explanation=f"{name} in {quantity.unit_meaning}",
        unit=CodedConcept(quantity.unit, "UCUM", quantity.unit_meaning),
        value_range=(float(frames.min()), float(frames.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=getattr(codes.DCM, quantity.code),
    )
    if deviation:
        mapping.QuantityDefinitionSequence.append(
            CodeContentItem(name=codes.DCM.Derivation, value=CodedConcept("386136009", "SCT", "Standard Deviation"))
        )
    return mapping


def _window(center: float, width: float) -> dict[str, Any]:
    """The window's arguments for this version of highdicom."""
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap

    if "voi_lut_transformations" in inspect.signature(ParametricMap).parameters:  # 0.28 and later
        return {"voi_lut_transformations": [VOILUTTransformation(window_center=center, window_width=width)]}
    return {"window_center": center, "window_width": width}


def _carriers(identity: Identity, planes: Planes, frames: np.ndarray) -> list[Dataset]:
    """Images in memory that pass patient and study to highdicom, which requires a source image at every plane. The maps' own source may
    have fewer images or another position; no result refers to these images."""
    from pydicom import Dataset
    from pydicom.uid import MRImageStorage, generate_uid

    series = generate_uid(prefix=None)
    carriers = []
    for position in planes.positions:
        carrier = Dataset()
        carrier.update(identity.attributes)
        carrier.SOPClassUID = MRImageStorage
        carrier.SOPInstanceUID = generate_uid(prefix=None)
        carrier.SeriesInstanceUID = series
        carrier.Rows, carrier.Columns = frames.shape[1:]
        carrier.ImageOrientationPatient = planes.orientation.tolist()
        carrier.ImagePositionPatient = position.tolist()
        carrier.PixelSpacing = list(planes.spacing[:2])
        carrier.SliceThickness = planes.spacing[2]
        carriers.append(carrier)
    return carriers


def _refer(result: Dataset, identity: Identity) -> None:
    """Refer to the images of the source in place of the carriers; to none if the source is unknown."""
    from pydicom import Dataset

    for keyword in ("ReferencedSeriesSequence", "SourceImageSequence"):
        if keyword in result:
            delattr(result, keyword)
    for group in (*result.SharedFunctionalGroupsSequence, *result.PerFrameFunctionalGroupsSequence):
        if "DerivationImageSequence" in group:
            del group.DerivationImageSequence
    if identity.images:
        series = Dataset()
        series.SeriesInstanceUID = identity.images[0].SeriesInstanceUID
        series.ReferencedInstanceSequence = [reference(image) for image in identity.images]
        result.ReferencedSeriesSequence = [series]
        result.SourceImageSequence = [reference(image) for image in identity.images]
