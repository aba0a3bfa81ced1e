"""Inputs of the same kinds as ``defects.py`` has, which its checks were not made from."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.volumes import image_like
from Testing.validation.defects import Defect, Scans, in_brain, voxels

_FRAME = 3


def _framed(v: np.ndarray, value: float) -> np.ndarray:
    framed = np.full_like(v, value)
    inner = (slice(_FRAME, -_FRAME),) * 3
    framed[inner] = v[inner]
    return framed


def _lowest(v: np.ndarray, value: float) -> np.ndarray:
    return np.where((np.arange(len(v)) < 0.3 * len(v))[:, None, None], np.float32(value), v)


def _wrapped(v: np.ndarray, levels: int, share: float) -> np.ndarray:
    return np.rint(np.maximum(v, 0.0) * (levels / np.percentile(v, share))) % levels


def _exchanged(one: str, other: str, scans: Scans) -> Scans:
    return {**scans, one: scans[other], other: scans[one]}


def _cropped(scans: Scans, low: float, high: float, *roles: str) -> Scans:
    """Some scans on a grid of their own that ends early at the bottom and at the top."""

    def crop(image: sitk.Image) -> sitk.Image:
        depth = image.GetSize()[2]
        return image[:, :, round(low * depth) : round(high * depth)]

    return {role: crop(image) if role in roles else image for role, image in scans.items()}


def _beyond(scans: Scans, head: KnownHead) -> Scans:
    """T2w on a larger grid than the others, NaN where nothing was measured."""
    image = scans["t2w"]
    padded = sitk.ConstantPad(image, [4, 4, 4], [4, 4, 4], -7.0)
    v = sitk.GetArrayFromImage(padded)
    return {**scans, "t2w": image_like(np.where(v == -7.0, np.nan, v).astype(np.float32), padded)}


def _in_its_brain(v: np.ndarray, brain: np.ndarray) -> np.ndarray:
    return np.where(brain, (v - v[brain].mean()) / v[brain].std(), 0.0)


OTHERS = (
    Defect("clipped at the 99th percentile, in fat", voxels(lambda v: np.minimum(v, np.percentile(v, 99.0))), ""),
    Defect("between 0 and 1", voxels(lambda v: v / v.max()), ""),
    Defect("numbers of 1e-9", voxels(lambda v: 1e-9 * v / v.max()), ""),
    Defect("a frame of NaN", voxels(lambda v: _framed(v, np.nan)), ""),
    Defect("a frame of -1", voxels(lambda v: _framed(v, -1.0)), ""),
    Defect("a frame of 32767", voxels(lambda v: _framed(v, 32767.0)), ""),
    Defect("T2w NaN beyond its field of view, own grid", _beyond, ""),
    Defect("T2w 65535 in its lower 30 %", voxels(lambda v: _lowest(v, 65535.0), "t2w"), "not in this image"),
    Defect("T2w of one grey value in its lower 30 %", voxels(lambda v: _lowest(v, 100.0), "t2w"), "not in this image"),
    Defect("T2w of 60 % of the head, own grid", lambda scans, head: _cropped(scans, 0.35, 0.95, "t2w"), "not in this image"),
    Defect("the top of the head cut off", lambda scans, head: _cropped(scans, 0.0, 0.65, *scans), "lies outside the maps"),
    Defect("z-scores in the brain, 0 around it", in_brain(_in_its_brain), "z-scores"),
    Defect("T2w wrapped at 8 bits", voxels(lambda v: _wrapped(v, 256, 97.0), "t2w"), "wrapped"),
    Defect("T1w wrapped at 12 bits", voxels(lambda v: _wrapped(v, 4096, 96.0), "t1w"), "wrapped"),
    Defect("T1w wrapped at unsigned 16 bits", voxels(lambda v: _wrapped(v, 65536, 97.0), "t1w"), "wrapped"),
    Defect("T1w inverted", voxels(lambda v: v.max() - v, "t1w"), "as bright as tissue"),
    Defect("FLAIR clipped at its white matter", in_brain(lambda v, b: np.minimum(v, np.percentile(v[b], 40)), "flair"), "highest value"),
    Defect("T2w in reverse from front to back", voxels(lambda v: v[:, ::-1].copy(), "t2w"), "rientation"),
    Defect("T2w in reverse from top to bottom", voxels(lambda v: v[::-1].copy(), "t2w"), "rientation"),
    Defect("T1w and T2w mirrored, FLAIR not", voxels(lambda v: v[..., ::-1].copy(), "t1w", "t2w"), "Left and right"),
    Defect("T1w and T2w exchanged", lambda scans, head: _exchanged("t1w", "t2w", scans), "exchanged"),
    Defect("T2w and FLAIR exchanged", lambda scans, head: _exchanged("t2w", "flair", scans), "exchanged"),
)
