"""Similarity of two images, and least-squares baselines for images rendered from maps.

One convention for all suites: the data range is the 99.5th percentile of the target in the brain mask, and voxels outside a region
do not count, so that equal darkness around a head does not count as similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.imaging.intake.volumes import image_like

if TYPE_CHECKING:
    from monai.metrics.regression import RegressionMetric
    from torch import Tensor

RANGE_PERCENTILE = 99.5
_ORIENTATION = "LPS"
_SCALE_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _WINDOW_SD = 11, 1.5
"""Wang, Simoncelli & Bovik, Asilomar Conference on Signals, Systems and Computers (2003)."""
_COARSEST = 2 ** (len(_SCALE_POWERS) - 1)
_PLANES = 32
CONVENTION = (
    f"PSNR, MS-SSIM, MAE and MSE: the data range is the {RANGE_PERCENTILE:g}th percentile of the measured image in the brain mask, for "
    "every method and region. MS-SSIM: five scales, axial planes, mean over the windows whose centre lies in the region, with 0 in both "
    "images outside it."
)


@dataclass(frozen=True)
class Similarity:
    """``psnr`` in dB (infinite for equal images), ``ms_ssim``, ``mae`` as a fraction of the data range, ``mse`` of its square."""

    psnr: float
    ms_ssim: float
    mae: float
    mse: float


def check_metrics() -> None:
    """Raise PhysMRISynthError if MONAI, which measures similarity, is not installed."""
    try:
        import monai.metrics.regression  # noqa: F401
    except ImportError as error:
        raise PhysMRISynthError(f"Comparing images needs {error.name}. Install physmrisynth[training].") from None


def data_range(target: np.ndarray, brain: np.ndarray) -> float:
    """The 99.5th percentile of ``target`` in the ``brain`` mask. Raises PhysMRISynthError when there is no brain or no signal."""
    level = float(np.percentile(target[brain], RANGE_PERCENTILE)) if brain.any() else 0.0
    if level <= 0:
        raise PhysMRISynthError("The image shows no signal in the brain mask. Check that the inputs are of one patient.")
    return level


def psnr(image: np.ndarray, target: np.ndarray, region: np.ndarray, level: float) -> float:
    """Peak signal-to-noise ratio of ``image`` in dB, in the mask ``region``; ``level`` is the data range."""
    from monai.metrics.regression import PSNRMetric

    return _measured(PSNRMetric(max_val=1.0, reduction="none"), image, target, region, level)


def similarity(image: np.ndarray, target: np.ndarray, region: np.ndarray, level: float, grid: sitk.Image) -> Similarity:
    """Compare ``image`` with ``target`` in the mask ``region``, all (z, y, x) on ``grid``; ``level`` is the data range."""
    from monai.metrics.regression import MAEMetric, MSEMetric

    mae, mse = (_measured(metric(reduction="none"), image, target, region, level) for metric in (MAEMetric, MSEMetric))
    ms_ssim = _ms_ssim(image / level, target / level, region, grid)
    return Similarity(psnr(image, target, region, level), ms_ssim, mae, mse)


def _measured(metric: RegressionMetric, image: np.ndarray, target: np.ndarray, region: np.ndarray, level: float) -> float:
    """A metric of MONAI's over the region's voxels, in units of the data range."""
    import torch

    found, wanted = (torch.from_numpy(np.ascontiguousarray(a[region] / level, dtype=np.float32))[None, None] for a in (image, target))
    return float(torch.as_tensor(metric(found, wanted)))


def _ms_ssim(image: np.ndarray, target: np.ndarray, region: np.ndarray, grid: sitk.Image) -> float:
    """Mean over the axial planes, weighted by their area of ``region``; the data range is 1."""
    import torch

    planes = _axial_planes(np.where(region, image, 0.0), np.where(region, target, 0.0), region, grid=grid)
    scores = [
        ms_ssim_of_planes(*(torch.from_numpy(stack[start : start + _PLANES, None]) for stack in planes))
        for start in range(0, len(planes[0]), _PLANES)
    ]
    return float(np.average(torch.cat(scores).numpy(), weights=planes[-1].sum(axis=(1, 2))))


def _axial_planes(*volumes: np.ndarray, grid: sitk.Image) -> list[np.ndarray]:
    """The volumes as stacks of axial planes, cropped to the box of the last one, a mask, with sides that every scale can halve."""
    stacks = [sitk.GetArrayFromImage(sitk.DICOMOrient(image_like(np.asarray(v, dtype=np.float32), grid), _ORIENTATION)) for v in volumes]
    box = bounding_box(stacks[-1] > 0)
    assert box is not None
    margins = [(0, 0), *((0, -(side.stop - side.start) % _COARSEST) for side in box[1:])]
    return [np.pad(stack[box], margins) for stack in stacks]


def ms_ssim_of_planes(image: Tensor, target: Tensor, seen: Tensor) -> Tensor:
    """MS-SSIM of each plane (B,) of images (B, 1, y, x): at every scale the mean over the windows centred where the mask ``seen`` is."""
    from monai.metrics.regression import compute_ssim_and_cs
    from torch.nn.functional import avg_pool2d, pad

    score = image.new_ones(len(image))
    for scale, power in enumerate(_SCALE_POWERS):
        if scale:
            image, target, seen = (avg_pool2d(x, 2) for x in (image, target, seen))
        found, wanted = (pad(x, [_WINDOW // 2] * 4) for x in (image, target))
        similar, contrast = compute_ssim_and_cs(found, wanted, 2, (_WINDOW,) * 2, (_WINDOW_SD,) * 2)
        value = contrast if scale < len(_SCALE_POWERS) - 1 else similar
        mean = (value * seen).sum(dim=(1, 2, 3)) / seen.sum(dim=(1, 2, 3)).clamp_min(1e-6)
        score = score * mean.clamp_min(0.0) ** power
    return score


def least_squares_gain(image: np.ndarray, target: np.ndarray) -> float:
    """The factor on ``image`` (N,) that fits ``target`` (N,) best."""
    power = float(np.vdot(image, image))
    return float(np.vdot(image, target)) / power if power > 0 else 0.0


def regressed(others: Sequence[np.ndarray], target: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The voxelwise linear regression, with intercept, of ``target`` on the ``others`` fitted in the ``brain`` mask:
    the best linear combination of these images. 0 outside the mask; all of shape (z, y, x)."""
    rows = np.stack([np.ones(int(brain.sum())), *(other[brain] for other in others)], axis=1).astype(np.float64)
    weights, *_ = np.linalg.lstsq(rows, target[brain].astype(np.float64), rcond=None)
    image = np.zeros(target.shape, dtype=np.float32)
    image[brain] = rows @ weights
    return image
