"""DICOM series of a session's folder as volume nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from ..headers.dicom_header import dicom_fields
from ..headers.header_values import series_names
from ..imaging.intake.dicom_series import read_scan
from .headers import keepHeader
from .volumes import newVolumeOnGrid


def loadSeries(path: Path) -> Any:
    """A volume node of the series that a DICOM file belongs to, with what its header tells about the acquisition.

    Read by the library instead of Slicer's DICOM database: these are the very images that were chosen, and nothing of the patient is
    copied. Raises ImageError when the images are no volume, or cannot be read.
    """
    volume, fields = read_scan(path), dicom_fields(path)
    name = next(iter(series_names(fields)), path.parent.name)
    node = newVolumeOnGrid(name, volume.voxels, volume.image, slicer.mrmlScene)
    keepHeader(node, fields, "DICOM")
    return node
