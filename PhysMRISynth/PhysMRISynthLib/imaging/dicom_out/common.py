"""Attributes common to all DICOM results."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ... import __version__
from .identity import Identity

if TYPE_CHECKING:
    from pydicom import Dataset

NOT_FOR_DIAGNOSIS = "NOT FOR DIAGNOSIS"
MANUFACTURER = "PhysMRISynth"


def stamp(dataset: Dataset, identity: Identity, moment: datetime) -> None:
    """Write patient, study and frame of reference, the software and the time of writing into ``dataset``."""
    for element in identity.attributes:
        dataset[element.tag] = element
    dataset.Modality = "MR"
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MANUFACTURER
    dataset.SoftwareVersions = __version__
    day, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    for name in ("Series", "Content", "InstanceCreation"):
        setattr(dataset, f"{name}Date", day)
        setattr(dataset, f"{name}Time", time)
    dataset.BodyPartExamined = "HEAD"
    dataset.BurnedInAnnotation = "NO"


def reference(image: Dataset) -> Dataset:
    """An item that names ``image``."""
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item
