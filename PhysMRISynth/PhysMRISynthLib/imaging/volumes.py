"""Reading and writing volumes with their geometry kept exactly, and refusing what cannot be a head's image."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import ImageError
from .nifti import non_finite_voxels

_NIFTI = (".nii", ".nii.gz")
_WRITTEN = (*_NIFTI, ".nrrd", ".mha")
SUFFIXES = (*_WRITTEN, ".nhdr", ".mhd")
_LARGEST_NON_FINITE_FRACTION = 0.2
_EXTENT_MM = (40.0, 1000.0)


@dataclass(frozen=True)
class Volume:
    """A 3-D image with finite float32 voxels, and ``notes`` on what was mended while reading."""

    image: sitk.Image
    path: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def voxels(self) -> np.ndarray:
        """The voxels, float32 of shape (z, y, x): a copy, since views die with the image."""
        return sitk.GetArrayFromImage(self.image)


def read_volume(path: Path, constant: bool = False) -> Volume:
    """Read a NIfTI, NRRD or MetaImage volume as float32 (slope and intercept applied).

    Voxels that are not finite become 0 and are reported in ``notes``. Raises ImageError for files that are missing, unreadable,
    not 3-D, in colour, of a single value, mostly not finite, or whose extent cannot be a head's;
    ``constant`` lets images of a single value pass, such as a mask of everything.
    """
    path = Path(path)
    _check_file(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_kind(reader, path)
        reader.SetOutputPixelType(sitk.sitkFloat32)
        reader.SetExtractSize([*reader.GetSize()[:3], *[0] * (reader.GetDimension() - 3)])  # drops a fourth axis of one volume
        image = reader.Execute()
    except RuntimeError as error:
        raise ImageError(
            f"{path} cannot be read as an image ({_reason(error)}). Check that the file is complete, or convert it again."
        ) from error
    if path.name.lower().endswith(_NIFTI):
        image = _with_non_finite(image, non_finite_voxels(path))
    return volume_from_image(image, path, constant)


def _with_non_finite(image: sitk.Image, bad: np.ndarray | None) -> sitk.Image:
    if bad is None or not bad.any():
        return image
    voxels = sitk.GetArrayFromImage(image)
    voxels[bad.reshape(voxels.shape)] = np.nan
    return image_like(voxels, image)


def volume_from_image(image: sitk.Image, path: Path | None = None, constant: bool = False, name: str | None = None) -> Volume:
    """A :class:`Volume` of an image in memory, with the same checks of its voxels and extent as :func:`read_volume`.

    Errors call it by ``name``, else by its path.
    """
    name = name or (str(path) if path else "The image")
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ImageError(f"{name} is not a 3-D grey-value volume: give one volume with one value a voxel.")
    if image.GetPixelID() != sitk.sitkFloat32:
        image = sitk.Cast(image, sitk.sitkFloat32)
    _check_extent(image, name)
    voxels = sitk.GetArrayViewFromImage(image)
    notes: tuple[str, ...] = ()
    if not (np.isfinite(voxels.min()) and np.isfinite(voxels.max())):  # NaN comes through both
        voxels = voxels.copy()
        bad = ~np.isfinite(voxels)
        if bad.mean() > _LARGEST_NON_FINITE_FRACTION:
            raise ImageError(f"{name}: {100 * bad.mean():.0f} % of the voxels are NaN or infinite. Export the volume again.")
        voxels[bad] = 0.0
        notes = (f"{int(bad.sum())} voxels were NaN or infinite and were set to 0.",)
        image = image_like(voxels, image)
    if not constant and voxels.min() == voxels.max():
        raise ImageError(f"{name} is empty: every voxel is {voxels.flat[0]:g}. Choose another file.")
    return Volume(image, path, notes)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ImageError(f"{path} does not exist. Check the path.")
    if path.is_dir():
        raise ImageError(f"{path} is a folder. Give one volume file ({', '.join(SUFFIXES)}).")
    if not path.name.lower().endswith(SUFFIXES):
        raise ImageError(f"{path.name} is not a volume file that can be read: use {', '.join(SUFFIXES)} (convert DICOM first).")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is a file of zero bytes. Copy or export it again.")


def _check_kind(reader: sitk.ImageFileReader, path: Path) -> None:
    size = reader.GetSize()
    if len(size) > 3 and np.prod(size[3:]) > 1:
        raise ImageError(f"{path} is {len(size)}-D (size {'×'.join(map(str, size))}). Give one 3-D volume of the series.")
    if len(size) < 3:
        raise ImageError(f"{path} is a single {len(size)}-D picture. Give a 3-D volume.")
    if reader.GetNumberOfComponents() != 1:
        raise ImageError(
            f"{path} is a colour or vector image with {reader.GetNumberOfComponents()} values a voxel. Give a grey-value volume."
        )


def _check_extent(image: sitk.Image, name: str) -> None:
    extent = [n * s for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    if min(image.GetSize()) < 4 or max(extent) < _EXTENT_MM[0] or max(extent) > _EXTENT_MM[1]:
        measured = " × ".join(f"{e:.3g}" for e in extent)
        raise ImageError(f"{name} spans {measured} mm in {image.GetSize()} voxels, which cannot be a head. Check its voxel spacing (mm).")


def image_like(voxels: np.ndarray, reference: sitk.Image) -> sitk.Image:
    """An image of ``voxels`` (z, y, x) with the geometry of ``reference``."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    image.SetSpacing(reference.GetSpacing())
    image.SetOrigin(reference.GetOrigin())
    image.SetDirection(reference.GetDirection())
    return image


def same_grid(a: sitk.Image, b: sitk.Image, tolerance_mm: float = 1e-3) -> bool:
    """Whether two images have the same voxels in space: equal size, and corners no more than ``tolerance_mm`` apart."""
    if a.GetSize() != b.GetSize():
        return False
    corners = [
        (i * (a.GetSize()[0] - 1), j * (a.GetSize()[1] - 1), k * (a.GetSize()[2] - 1)) for i in (0, 1) for j in (0, 1) for k in (0, 1)
    ]
    distances = [np.subtract(a.TransformIndexToPhysicalPoint(c), b.TransformIndexToPhysicalPoint(c)) for c in corners]
    return bool(np.abs(distances).max() < tolerance_mm)


def write_image(image: sitk.Image, path: Path) -> None:
    """Write under a temporary name and rename, so that no half-written file is ever left under ``path``.

    Raises ImageError when the folder cannot be written, or the format is not one that keeps header and voxels in a single file.
    """
    path = Path(path)
    if not path.name.lower().endswith(_WRITTEN):
        raise ImageError(f"{path.name}: volumes are not written in this format. Use one of {', '.join(_WRITTEN)}.")
    created = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            temporary = Path(folder) / path.name
            sitk.WriteImage(image, str(temporary), useCompression=True)
            temporary.replace(path)
    except (OSError, RuntimeError) as error:
        for parent in created:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise ImageError(f"{path} could not be written ({_reason(error)}). Check free space and permissions.") from error


def _reason(error: Exception) -> str:
    """The part of a system's or ITK's message that says something to a user."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).strip().splitlines()[-1].rpartition("ERROR: ")[2]
