"""Reading and writing volumes with exact geometry, and refusing images that cannot show a head."""

from __future__ import annotations

import errno
import math
import tempfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError
from ...whole_file import TEMPORARY
from .intensities import unwrapped
from .nifti import NiftiHeader, header_notes, is_complete, is_compressed, non_finite_voxels, read_header
from .nifti_forms import copy_forms, forms_of, placed, write_forms
from .no_data import constant_background, opened, touching_faces

_NIFTI = (".nii", ".nii.gz")
_WRITTEN = (*_NIFTI, ".nrrd", ".mha")
SUFFIXES = (*_WRITTEN, ".nhdr", ".mhd")
_FREESURFER = (".mgz", ".mgh")
_LARGEST_NON_FINITE_FRACTION, _LARGEST_BACKGROUND = 0.2, 0.98
_EXTENT_MM = (40.0, 1000.0)
LARGEST_SKEW = 1e-3
"""Largest cosine between two axes, for rounding."""
_MAGNITUDES = (1e-15, 1e15)
"""Range of an image's largest voxel: outside, squares overflow or underflow in single precision."""
_MOST_VOXELS = 1 << 31
_GZIP, _MEMORY, _CHUNK = 31, 9, 1 << 22
"""zlib's numbers for gzip's header, and for the most memory."""
_VOXELS_PER_BYTE = 1100
"""The most voxels per byte by compression (deflate)."""


@dataclass(frozen=True)
class Volume:
    """A 3-D image with finite float32 voxels, and ``notes`` on repairs made while reading.

    ``missing`` (z, y, x) is True where the file has no data (NaN, padding), and the voxels are 0; None: nowhere.
    """

    image: sitk.Image
    path: Path | None = None
    notes: tuple[str, ...] = ()
    missing: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def voxels(self) -> np.ndarray:
        """The voxels, float32 of shape (z, y, x): a copy, since views do not outlive the image."""
        return sitk.GetArrayFromImage(self.image)


def read_volume(path: Path, constant: bool = False) -> Volume:
    """Read a NIfTI, NRRD or MetaImage volume as float32 (slope and intercept applied).

    Voxels that are not finite become 0 and are reported in ``notes``, as is a NIfTI header with no orientation or two. Raises
    ImageError for files that are missing, unreadable, not 3-D, in colour, of a single value, mostly not finite, whose header contradicts
    itself or the file's size, or whose extent or axes cannot be those of a head;
    ``constant`` allows images of a single value, such as a mask of everything.
    """
    path = Path(path)
    try:
        _check_file(path)
        header = read_header(path) if path.name.lower().endswith(_NIFTI) else None
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({_reason(error)}). Check that it is there and that you may read it.") from error
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_kind(reader, path)
        reader.SetOutputPixelType(sitk.sitkFloat32)
        reader.SetExtractSize([*reader.GetSize()[:3], *[0] * (reader.GetDimension() - 3)])  # drops a fourth axis of one volume
        image = reader.Execute()
    except RuntimeError as error:
        skewed = "orthonormal" in str(error)
        remedy = "Resample it onto a grid that is not skewed" if skewed else "Check that the file is complete, or convert it again"
        raise ImageError(f"{path} cannot be read as an image ({_reason(error)}). {remedy}.") from error
    if header is None:
        return volume_from_image(image, path, constant)
    image = placed(_unshifted(image, header), header, LARGEST_SKEW)
    volume = volume_from_image(_with_non_finite(image, non_finite_voxels(path, header)), path, constant)
    return replace(volume, notes=(*header_notes(header), *volume.notes))


def _unshifted(image: sitk.Image, header: NiftiHeader) -> sitk.Image:
    """The voxels as stored if the slope is 0 or NaN, which mean no scaling: ITK still adds the intercept."""
    slope, intercept = header.scaling
    if (slope == 0.0 or math.isnan(slope)) and math.isfinite(intercept) and intercept != 0.0:
        return image - intercept
    return image


def _with_non_finite(image: sitk.Image, bad: np.ndarray | None) -> sitk.Image:
    if bad is None or not bad.any():
        return image
    voxels = sitk.GetArrayFromImage(image)
    voxels[bad.reshape(voxels.shape)] = np.nan
    return image_like(voxels, image)


def volume_from_image(image: sitk.Image, path: Path | None = None, constant: bool = False, name: str | None = None) -> Volume:
    """A :class:`Volume` of an image in memory, with the same checks of its voxels and extent as :func:`read_volume`.

    Errors refer to it by ``name``, else by its path.
    """
    name = name or (str(path) if path else "The image")
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ImageError(f"{name} is not a 3-D grey-value volume: give one volume with one value a voxel.")
    if image.GetPixelID() != sitk.sitkFloat32:
        image = sitk.Cast(image, sitk.sitkFloat32)
    _check_extent(image, name)
    _check_axes(image, name)
    voxels, missing, notes = _with_numbers(sitk.GetArrayViewFromImage(image), name)
    background = None if constant else constant_background(voxels)
    if background is not None:
        outside, value = background
        voxels = np.where(outside, np.float32(0.0), voxels)
        missing = outside if missing is None else missing | outside
        notes = (*notes, f"The background of {value:g} ({100 * outside.mean():.0f} % of the voxels) was treated as missing data.")
    whole = unwrapped(voxels)
    if whole is not None:
        voxels, notes = whole, (*notes, "Unsigned 16-bit numbers had been read as signed ones: negative voxels were raised by 65536.")
    if notes:
        image = image_like(voxels, image)
    if not constant and voxels.min() == voxels.max():
        raise ImageError(f"{name} is empty: every voxel is {voxels.flat[0]:g}. Choose another file.")
    largest = max(float(voxels.max()), -float(voxels.min()))
    if largest and not _MAGNITUDES[0] < largest < _MAGNITUDES[1]:
        raise ImageError(f"{name} has voxels of up to {largest:.3g}, which no image has. Check its scaling, or export it again.")
    return Volume(image, path, notes, missing)


def _with_numbers(voxels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Voxels with non-finite ones set to 0, a mask of these (None: nowhere), and a note.

    A compact region of NaN that reaches the image's faces is a background. Raises ImageError if many others are not finite.
    """
    if np.isfinite(voxels.min()) and np.isfinite(voxels.max()):  # NaN propagates through both
        return voxels, None, ()
    bad = ~np.isfinite(voxels)
    share = float(bad.mean())
    if share > _LARGEST_NON_FINITE_FRACTION:
        outside = touching_faces(opened(np.isnan(voxels), 1))
        if (bad & ~outside).mean() > _LARGEST_NON_FINITE_FRACTION or share > _LARGEST_BACKGROUND:
            raise ImageError(f"{name}: {100 * share:.0f} % of the voxels are NaN or infinite. Export the volume again.")
        note = f"{100 * share:.0f} % of the voxels are NaN, as around a skull-stripped brain: they were treated as missing data."
    else:
        note = f"{int(bad.sum())} voxels were NaN or infinite and were set to 0: they were treated as missing data."
    return np.where(bad, np.float32(0.0), voxels), bad, (note,)


def check_name(path: Path) -> None:
    """Raise ImageError for a path that is not valid Unicode: ITK would crash the process."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ImageError(f"{str(path)!a} has letters that are not Unicode. Rename the file or folder.") from None


def _check_file(path: Path) -> None:
    check_name(path)
    if not path.exists():
        cause = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        raise ImageError(f"{path} {cause}. Check the path.")
    if path.is_dir():
        raise ImageError(f"{path} is a folder. Give one volume file ({', '.join(SUFFIXES)}).")
    if not path.is_file():  # reading a pipe or a device might never end
        raise ImageError(f"{path} is a pipe or a device. Give an ordinary volume file ({', '.join(SUFFIXES)}).")
    if not path.name.lower().endswith(SUFFIXES):
        how = "mri_convert of FreeSurfer makes NIfTI of it" if path.name.lower().endswith(_FREESURFER) else "convert it first"
        raise ImageError(f"{path.name} is not a volume file that can be read: use {', '.join(SUFFIXES)} ({how}).")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is a file of zero bytes. Copy or export it again.")
    if path.name.lower().endswith(".nii") and is_compressed(path):
        raise ImageError(f"{path} is compressed. Rename it to {path.name}.gz.")


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
    voxels, held = math.prod(size), path.stat().st_size
    if voxels > _MOST_VOXELS or (path.name.lower().endswith(_WRITTEN) and voxels > _VOXELS_PER_BYTE * held):
        raise ImageError(
            f"{path}: the header announces {voxels} voxels, which a file of {held} bytes cannot hold or no head needs. "
            "Check that the file is complete, or convert it again."
        )


def _check_extent(image: sitk.Image, name: str) -> None:
    extent = [n * s for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    if min(image.GetSize()) < 4 or not _EXTENT_MM[0] <= max(extent) <= _EXTENT_MM[1]:
        measured = " × ".join(f"{e:.3g}" for e in extent)
        raise ImageError(f"{name} spans {measured} mm in {image.GetSize()} voxels, which cannot be a head. Check its voxel spacing (mm).")


def _check_axes(image: sitk.Image, name: str) -> None:
    """Refuse positions that are not finite, and axes that are not at right angles, which NIfTI results cannot represent."""
    axes = np.reshape(image.GetDirection(), (3, 3))
    if not np.isfinite([*image.GetOrigin(), *axes.ravel()]).all():
        raise ImageError(f"{name} has a position or direction that is not finite. Convert the image again.")
    if np.abs(axes.T @ axes - np.eye(3)).max() > LARGEST_SKEW:
        raise ImageError(f"{name} has axes that are not at right angles. Resample it onto a grid that is not skewed.")


def image_like(voxels: np.ndarray, reference: sitk.Image) -> sitk.Image:
    """An image of ``voxels`` (z, y, x) with the geometry of ``reference``."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    image.SetSpacing(reference.GetSpacing())
    image.SetOrigin(reference.GetOrigin())
    image.SetDirection(reference.GetDirection())
    copy_forms(image, reference)
    return image


def same_grid(a: sitk.Image, b: sitk.Image, tolerance_mm: float = 1e-3) -> bool:
    """Whether two images have the same grid: equal size, and corners at most ``tolerance_mm`` apart."""
    if a.GetSize() != b.GetSize():
        return False
    corners = [
        (i * (a.GetSize()[0] - 1), j * (a.GetSize()[1] - 1), k * (a.GetSize()[2] - 1)) for i in (0, 1) for j in (0, 1) for k in (0, 1)
    ]
    distances = [np.subtract(a.TransformIndexToPhysicalPoint(c), b.TransformIndexToPhysicalPoint(c)) for c in corners]
    return bool(np.abs(distances).max() < tolerance_mm)


def write_image(image: sitk.Image, path: Path) -> None:
    """Write under a temporary name and rename, so that ``path`` never holds an incomplete file.

    Raises ImageError when the folder cannot be written, or the format does not keep header and voxels in a single file.
    """
    path = Path(path)
    if not path.name.lower().endswith(_WRITTEN):
        raise ImageError(f"{path.name}: volumes are not written in this format. Use one of {', '.join(_WRITTEN)}.")
    check_name(path)
    created = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY) as folder:
            temporary = Path(folder) / path.name
            _write(image, temporary)
            temporary.replace(path)
    except (OSError, RuntimeError) as error:
        for parent in created:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise ImageError(f"{path} could not be written ({_reason(error)}). Check free space and permissions.") from error


def _write(image: sitk.Image, path: Path) -> None:
    """Write an image; a NIfTI file keeps the forms of the image's reference, which ITK would replace. Raises OSError."""
    if not path.name.lower().endswith(_NIFTI):
        sitk.WriteImage(image, str(path), useCompression=True)
        return
    plain, forms = path.with_name("plain.nii"), forms_of(image)
    sitk.WriteImage(image, str(plain), useCompression=False)
    if not is_complete(plain):  # ITK does not report a full disk
        raise OSError(errno.EIO, "its end is missing")
    if forms is not None:
        write_forms(plain, forms)
    if path.name.lower().endswith(".gz"):
        _compress(plain, path)
    else:
        plain.replace(path)


def _compress(plain: Path, path: Path) -> None:
    """Write a file again as gzip."""
    coder = _coder()
    with plain.open("rb") as source, path.open("wb") as target:
        while piece := source.read(_CHUNK):
            target.write(coder.compress(piece))
        target.write(coder.flush())


def _coder() -> Any:
    """Intel's ISA-L where it is installed, which Slicer does not bring along; else zlib, by runs and the frequency of bytes alone.

    The last digits of measured values repeat nowhere: to look for repetitions makes maps no smaller, and takes zlib 2.6 times as long.
    ISA-L takes a third of the time for the same size.
    """
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(1, zlib.DEFLATED, _GZIP, _MEMORY, zlib.Z_RLE)
    return isal_zlib.compressobj(isal_zlib.ISAL_DEFAULT_COMPRESSION, isal_zlib.DEFLATED, _GZIP)


def _reason(error: Exception) -> str:
    """The part of a system's or ITK's message that is useful to a user."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if "orthonormal" in str(error):
        return "its axes are not at right angles, or none"
    return str(error).strip().splitlines()[-1].rpartition("ERROR: ")[2]
