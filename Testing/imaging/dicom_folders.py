"""DICOM series of a small picture, as a scanner's archive holds them, header fields to be chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
STUDY = generate_uid()
T1W = {"ScanningSequence": "SE", "RepetitionTime": 600.0, "EchoTime": 15.0, "SeriesDescription": "t1_se_tra"}
T2W = {"ScanningSequence": "SE", "RepetitionTime": 4500.0, "EchoTime": 100.0, "SeriesDescription": "t2_tse_tra"}
FLAIR = {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 9000.0, "EchoTime": 90.0, "InversionTime": 2500.0,
         "SeriesDescription": "t2_flair_tra"}  # fmt: skip


def picture(
    slices: int = 6, seed: int = 0, turned: np.ndarray | None = None, spacing: tuple[float, float, float] = (8, 9, 10)
) -> sitk.Image:
    """Noise on a grid of 14 × 12 voxels and some slices."""
    image = sitk.GetImageFromArray(np.random.default_rng(seed).integers(1, 2000, (slices, 12, 14)).astype(np.uint16))
    image.SetSpacing(spacing)
    image.SetOrigin((-50.0, 20.0, 30.0))
    image.SetDirection((np.eye(3) if turned is None else turned).ravel().tolist())
    return image


def write_series(folder: Path, number: int, image: sitk.Image, series: str | None = None, **values: Any) -> list[Path]:
    """The slices of an image as single-frame files, in an order that their names do not tell; ``values`` by keyword."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels, series = sitk.GetArrayFromImage(image), series or generate_uid()
    files = []
    for row in range(len(voxels)):
        files.append(folder / f"{number:03d}_{(row * 5) % 97:04d}_{generate_uid()[-6:]}")
        _slice(image, voxels[row], row, number, series, values).save_as(files[-1], enforce_file_format=True)
    return files


def _slice(image: sitk.Image, voxels: np.ndarray, row: int, number: int, series: str, values: dict[str, Any]) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID, header.Modality = MR, generate_uid(), "MR"
    header.PatientID, header.StudyInstanceUID, header.StudyDate, header.SeriesInstanceUID = "P1", STUDY, "20200102", series
    header.SeriesNumber, header.InstanceNumber, header.ImageType = number, row + 1, ["ORIGINAL", "PRIMARY", "M"]
    axes = np.reshape(image.GetDirection(), (3, 3))
    header.ImageOrientationPatient = [f"{value:.8f}" for value in (*axes[:, 0], *axes[:, 1])]
    header.ImagePositionPatient = [f"{value:.8f}" for value in image.TransformIndexToPhysicalPoint((0, 0, row))]
    header.PixelSpacing = [image.GetSpacing()[1], image.GetSpacing()[0]]
    header.SliceThickness = image.GetSpacing()[2]
    header.Rows, header.Columns = voxels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelData = voxels.tobytes()
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return header


def write_enhanced(file: Path, image: sitk.Image, slope: float = 1.0, **values: Any) -> Path:
    """All slices of an image as the frames of one enhanced MR file, with the parameters of a T2w image; ``values`` by keyword."""
    file.parent.mkdir(parents=True, exist_ok=True)
    voxels = sitk.GetArrayFromImage(image)
    first = _slice(image, voxels[0], 0, 1, generate_uid(), values)
    shared, frames = Dataset(), []
    measures, orientation, timing, scaling, echo = (Dataset() for _ in range(5))
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, 0.6 * image.GetSpacing()[2]  # a gap between slices …
    measures.SpacingBetweenSlices = 0.4 * image.GetSpacing()[2]  # … which some take for the distance of their centres
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    timing.RepetitionTime, timing.FlipAngle, echo.EffectiveEchoTime = 4500.0, 90.0, 100.0
    scaling.RescaleSlope, scaling.RescaleIntercept, scaling.RescaleType = slope, 0, "US"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.MRTimingAndRelatedParametersSequence, shared.PixelValueTransformationSequence = [timing], [scaling]
    shared.MREchoSequence = [echo]
    for row in range(len(voxels)):
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = [f"{value:.8f}" for value in image.TransformIndexToPhysicalPoint((0, 0, row))]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(first, keyword)
    first.SOPClassUID, first.NumberOfFrames, first.PixelData = ENHANCED_MR, len(voxels), voxels.tobytes()
    first.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    first.SharedFunctionalGroupsSequence, first.PerFrameFunctionalGroupsSequence = [shared], frames
    first.save_as(file, enforce_file_format=True)
    return file
