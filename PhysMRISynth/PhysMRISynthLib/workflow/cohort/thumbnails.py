"""A cohort at a glance: a picture of each visit, and a page with all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError
from ...imaging.head.masks import bounding_box
from ..results.bids_derivatives import write_text
from .visit import Row

INDEX = "index.html"
_SPACING_MM = 2.0
_STYLE = "body{font-family:sans-serif;margin:2em}figure{display:inline-block;margin:.5em}img{max-width:100%}.failed{color:#a00}"


def write_thumbnail(images: Mapping[str, sitk.Image], head: sitk.Image, path: Path) -> None:
    """A PNG of the middle axial plane of each image, of what lies in the mask ``head``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * len(images), 2.8))
    for ax, (name, image) in zip(np.atleast_1d(figure.subplots(1, len(images))), images.items(), strict=True):
        there = sitk.Resample(head, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        plane = axial_plane(sitk.Mask(image, there))
        bright = plane[plane != 0]
        low, high = np.percentile(bright, [1.0, 99.0]) if bright.size else (0.0, 1.0)
        ax.imshow(plane, cmap="gray", vmin=min(low, 0.0), vmax=high)
        ax.set_title(f"{name}, synthetic", fontsize=8)
        ax.set_axis_off()
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def axial_plane(image: sitk.Image) -> np.ndarray:
    """The axial plane through the middle of what is not 0, front up, the patient's right on the left."""
    straight = sitk.DICOMOrient(image, "LPS")
    voxels, spacing = sitk.GetArrayFromImage(straight), straight.GetSpacing()
    box = bounding_box(voxels != 0)
    middle = voxels.shape[0] // 2 if box is None else (box[0].start + box[0].stop) // 2
    shape = [max(2, round(n * s / _SPACING_MM)) for n, s in zip(voxels.shape[1:], spacing[1::-1], strict=True)]
    rows, columns = (np.linspace(0, n - 1, m).round().astype(int) for n, m in zip(voxels.shape[1:], shape, strict=True))
    return voxels[middle][np.ix_(rows, columns)]


def write_index(out: Path, rows: Sequence[Row], title: str) -> None:
    """Write ``index.html`` into a data set: every visit with its picture, or why it has none. Raises ImageError."""
    parts = [f"<!doctype html><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"]
    for row in rows:
        labels = [label for label in (row.participant, row.session) if label]
        picture = Path(*labels, "anat", f"{'_'.join(labels)}_report.png")
        name = escape("_".join(labels))
        if (out / picture).is_file():
            parts.append(f"<figure><img src='{escape(picture.as_posix())}' alt='{name}'><figcaption>{name}</figcaption></figure>")
        else:
            parts.append(f"<p class='failed'>{name}: {escape(row.status)}. {escape(row.reason)}</p>")
    try:
        write_text("\n".join(parts) + "\n", out / INDEX)
    except OSError as error:
        raise ImageError(f"{out / INDEX} could not be written ({error.strerror or error}). Check free space and permissions.") from error
