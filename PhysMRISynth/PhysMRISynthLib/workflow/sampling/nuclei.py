"""T1 and T2 of the deep nuclei in a synthetic head: tissue classes have one value each, nuclei differ by their iron.

Iron (mg per 100 g fresh tissue): Hallgren & Sourander, J Neurochem 3:41 (1958). R2 at a field strength:
R2 = 9 + (0.9 + 0.2 iron + 5.7 lipid) B0 (1/s, T; "Dependence of brain-tissue R2 on MRI field strength", Magn Reson Med, 3 and 7 T;
extrapolated to 1.5 T), with the shares of lipid that give the rates of grey matter without iron and of white matter at 3 T (12.7 and
18.0 1/s: Gelman et al., Radiology 210:759, 1999). R1 of caudate and putamen grows by 1.7 and 1.0 1/s per mg iron in a gram (Ogg & Steen,
Magn Reson Med 40:749, 1998): the mean holds for all deep grey nuclei. The nuclei of brain stem and cerebellum keep the T1 of white
matter: the ICBM 152 (2009a) T1w template shows hardly a contrast. Its coordinates are the places of these nuclei; the atlas lies in its
space.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import SimpleITK as sitk

from ...imaging.head.atlas import AtlasPlacement
from ...imaging.head.structures import places
from ...imaging.intake.volumes import image_like
from ...imaging.tissue_maps import TissueMaps
from ...physics.tissues import tissue_table

_DEEP_IRON = {11: 9.28, 12: 13.32, 13: 21.30, 26: 9.28}
"""By FreeSurfer's number: caudate, putamen, pallidum; the accumbens counts as caudate."""
_GREY, _WHITE = 0.0579, 0.2216
_WHITE_IRON = 4.24
_R1_OF_IRON = 0.0135
_OWN_IRON = {"red nucleus": 19.48, "substantia nigra": 18.46, "dentate nucleus": 10.35}
_EDGE_MM, _SMOOTH_MM = 1.5, 1.0
_LOW, _HIGH = (-28, -75, -48), (28, 0, 2)
"""Corners (x, y, z; mm to the right, front and top) of the box that holds the nuclei within white matter."""
_NAMES = [tissue.name for tissue in tissue_table()]


def with_nuclei(maps: TissueMaps, fractions: np.ndarray, placement: AtlasPlacement, field_strength: float) -> TissueMaps:
    """``maps`` with shorter or longer T1 and T2 in the nuclei of deep grey and white matter, by ``fractions`` of tissues (classes, z, y,
    x) and the atlas's place. The mean of a tissue's T1 and T2 stays."""
    grid = sitk.GetImageFromArray(fractions[0].astype(np.float32))
    deep, white = (np.where(maps.mask, fractions[_NAMES.index(name)], 0.0).astype(np.float32) for name in ("deep_grey", "white_matter"))
    iron = _placed(_deep_iron(), grid, placement)
    r1 = float(np.exp(-tissue_table(field_strength)[_NAMES.index("deep_grey")].theta[1])) * 1000.0
    common = float(np.average(iron, weights=deep)) if deep.any() else 0.0
    t1 = maps.t1 * _changed(deep, r1 + _R1_OF_IRON * (iron - common))
    t2 = maps.t2 * _changed(deep, _r2(iron, _GREY, field_strength)) * _changed(white, _placed(_white_r2(field_strength), grid, placement))
    return replace(maps, t1=t1.astype(np.float32), t2=np.minimum(t1, t2).astype(np.float32))


def _r2(iron: np.ndarray | float, lipid: float, field_strength: float) -> np.ndarray | float:
    """R2 (1/s) of tissue with so much iron (mg per 100 g) and this share of lipid."""
    return 9.0 + (0.9 + 0.2 * iron + 5.7 * lipid) * field_strength


def _changed(fraction: np.ndarray, rate: np.ndarray | float) -> np.ndarray:
    """The factor of a time in every voxel that holds a ``fraction`` of the tissue with this ``rate``; 1 in the tissue's mean."""
    times = 1.0 / np.asarray(rate, dtype=np.float32)
    mean = np.average(times, weights=fraction) if fraction.any() else 1.0
    return np.asarray(1.0 + fraction * (times / np.float32(mean) - 1.0))


def _placed(image: sitk.Image, grid: sitk.Image, placement: AtlasPlacement) -> np.ndarray:
    """An image in the atlas's space on a head's ``grid`` (z, y, x), its edge values beyond it."""
    moved = sitk.Resample(image, grid, placement.to_atlas, sitk.sitkLinear, 0.0, sitk.sitkFloat32, useNearestNeighborExtrapolator=True)
    return sitk.GetArrayFromImage(moved)


@cache
def _deep_iron() -> sitk.Image:
    structures = places("deep_grey")
    lookup = np.zeros(256, np.float32)
    lookup[list(_DEEP_IRON)] = list(_DEEP_IRON.values())
    return sitk.SmoothingRecursiveGaussian(image_like(lookup[sitk.GetArrayFromImage(structures)], structures), _SMOOTH_MM)


@cache
def _white_r2(field_strength: float) -> sitk.Image:
    """R2 (1/s) of white matter and of the nuclei in it, in the atlas's space at 1 mm."""
    rate = _r2(_WHITE_IRON, _WHITE, field_strength)
    axes = [np.arange(low, high + 1.0) for low, high in zip(_LOW, _HIGH, strict=True)]
    z, y, x = np.meshgrid(*reversed(axes), indexing="ij")
    r2 = np.full(x.shape, rate)
    for name, share in _shapes(abs(x), y, z).items():
        r2 += share * (_r2(_OWN_IRON[name], _GREY, field_strength) - rate)
    image = sitk.GetImageFromArray(r2[:, ::-1, ::-1].astype(np.float32))  # x to the left, y to the back
    image.SetOrigin((-_HIGH[0], -_HIGH[1], _LOW[2]))
    return image


def _shapes(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    """Shares (0 to 1) of the nuclei at places (mm from the middle, to the front and to the top), with soft edges."""
    dentate = _ellipsoid(x, y, z, (15.0, -57.5, -34.0), (5.0, 10.0, 6.5), 35.0)
    hilum = _ellipsoid(x, y, z, (13.0, -54.0, -34.0), (3.0, 8.5, 4.5), 35.0)
    return {
        "red nucleus": _ellipsoid(x, y, z, (5.0, -20.5, -9.0), (3.4, 3.6, 4.6)),
        "substantia nigra": _ellipsoid(x, y, z, (10.0, -17.0, -12.5), (2.2, 7.5, 4.0), 24.0),
        "dentate nucleus": np.maximum(dentate - hilum, 0.0),
    }


def _ellipsoid(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, centre: tuple[float, ...], half: tuple[float, ...], turn_degrees: float = 0.0
) -> np.ndarray:
    """An ellipsoid with these half axes (mm), its front end turned inwards."""
    sine, cosine = np.sin(np.deg2rad(turn_degrees)), np.cos(np.deg2rad(turn_degrees))
    right, front, up = x - centre[0], y - centre[1], z - centre[2]
    along = ((right * cosine + front * sine) / half[0], (front * cosine - right * sine) / half[1], up / half[2])
    radius = np.sqrt(sum(part**2 for part in along))
    return np.clip(0.5 + (1.0 - radius) * min(half) / _EDGE_MM, 0.0, 1.0)
