"""Axial test slices of sessions in OASIS-3's layout whose true maps are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.sessions import Session, find_sessions
from PhysMRISynthLib.physics.tissues import BRAIN_TISSUE, tissue_table
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisition

from ...learning.batch import SignalBatch, collate
from ...learning.dataset import scan_batch
from ...learning.real_scans import CachedScans, cached_scans
from ...simulator.anatomy import ORIENTATION

SHAPE = (224, 160)
"""Rows and columns of a slice, as in the paper; 1 mm."""
_TRUTH, _MAPS, _TISSUE = "truth", ("PDmap", "T1map", "T2map"), "tissue"
_PER_CENT = 100.0
_LEAST_BRAIN = 2000
"""Pixels of brain tissue in a slice that is chosen."""
_NAMES = [tissue.name for tissue in tissue_table()]


@dataclass(frozen=True)
class KnownSlices:
    """N slices of one session: numbers of ``planes`` (N,) in ``scans``; ``truth`` (3, N, *SHAPE) of PD (fraction), T1 and T2 (ms), 0 in
    air; ``tissue`` (N, *SHAPE), rows of the tissue table."""

    session: Session
    scans: CachedScans
    planes: np.ndarray
    truth: np.ndarray
    tissue: np.ndarray

    @property
    def name(self) -> str:
        """The subject's."""
        return self.scans.subject

    @property
    def solid(self) -> np.ndarray:
        """Brain tissue (N, *SHAPE), bool."""
        return np.isin(self.tissue, [_NAMES.index(name) for name in BRAIN_TISSUE])

    @property
    def brain(self) -> np.ndarray:
        """Brain tissue and fluid (N, *SHAPE), bool."""
        return self.solid | (self.tissue == _NAMES.index("csf"))

    @cached_property
    def inputs(self) -> np.ndarray:
        """The scaled images (M, N, *SHAPE), NaN without data."""
        centre = self.scans.centre[1:]
        return np.concatenate([self.scans.read((int(plane), *centre), (1, *SHAPE)) for plane in self.planes], axis=1)

    @property
    def images(self) -> np.ndarray:
        """The images in the files' unit (M, N, *SHAPE), NaN without data."""
        return self.inputs * self.raw_levels[:, None, None, None]

    @property
    def raw_levels(self) -> np.ndarray:
        """Factors (M,) from scaled images to the files' unit."""
        return self.scans.levels * np.float32(self.scans.unit)

    def batch(self, published: bool) -> SignalBatch:
        """The slices as the network's batch of N, with all inputs; ``published``: for the paper's equations."""
        given = np.isfinite(self.inputs).any(axis=(1, 2, 3))
        return collate([scan_batch(self.scans, self.inputs[:, n], given, published) for n in range(len(self.planes))])

    def alternate(self) -> tuple[KnownSlices, KnownSlices]:
        """Every second slice, and the others."""
        first, second = (
            replace(self, planes=self.planes[part], truth=self.truth[:, part], tissue=self.tissue[part])
            for part in (slice(0, None, 2), slice(1, None, 2))
        )
        return first, second

    def acquisitions(self) -> tuple[Acquisition, ...]:
        """The whole images, from the session's files."""
        return tuple(read_acquisition(role, path) for role, path in self.session.files.items())

    def of(self, image: sitk.Image) -> np.ndarray:
        """These slices (N, *SHAPE) of an image on the grid of the session's first input."""
        return _cut(image, self.scans, self.planes)


def known_slices(
    folder: Path, cache: Path, per_session: int, seed: int = 0, progress: Callable[[str], None] = lambda line: None
) -> list[KnownSlices]:
    """At most ``per_session`` slices, chosen at random by the ``seed``, of every session in ``folder`` with true maps.

    Scans are cached in ``cache``. Raises PhysMRISynthError when there is no such session.
    """
    sessions = [session for session in find_sessions(folder) if _truth(session).is_dir()]
    if not sessions:
        raise PhysMRISynthError(
            f"{folder} holds no session with true maps (sub-*/ses-*/anat and truth). Make them with 'physmrisynth train simulate-oasis3 "
            "--split test', and give that folder with --scans."
        )
    found = []
    for number, session in enumerate(sessions):
        (scans,) = cached_scans([session], cache, progress)
        found.append(_chosen(session, scans, per_session, np.random.default_rng([seed, number])))
    return found


def _truth(session: Session) -> Path:
    """The folder of a session's true maps, beside that of its scans."""
    return next(iter(session.files.values())).parent.parent / _TRUTH


def _chosen(session: Session, scans: CachedScans, count: int, rng: np.random.Generator) -> KnownSlices:
    maps = [_read(_truth(session) / f"{name}.nii.gz") for name in (*_MAPS, _TISSUE)]
    every = np.arange(*scans.planes)
    tissue = _cut(maps[-1], scans, every, _NAMES.index("air"))
    area = np.isin(tissue, [_NAMES.index(name) for name in BRAIN_TISSUE]).sum(axis=(1, 2))
    usable = np.flatnonzero(area >= min(_LEAST_BRAIN, area.max()))
    picked = np.sort(rng.choice(usable, min(count, usable.size), replace=False))
    planes = every[picked]
    pd, t1, t2 = (_cut(image, scans, planes) for image in maps[:-1])
    inside = tissue[picked] != _NAMES.index("air")
    return KnownSlices(session, scans, planes, np.stack([pd / _PER_CENT, t1, t2]) * inside, tissue[picked])


def _read(path: Path) -> sitk.Image:
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError:
        raise PhysMRISynthError(f"The true map {path} is missing or damaged. Simulate its session again.") from None


def _cut(image: sitk.Image, scans: CachedScans, planes: np.ndarray, air: int = 0) -> np.ndarray:
    """Planes of an image at 1 mm as ``scans`` would show them (N, *SHAPE), continued by ``air``."""
    whole = sitk.GetArrayFromImage(sitk.DICOMOrient(image, ORIENTATION))
    head = whole[tuple(slice(start, start + n) for start, n in zip(scans.corner, scans.shape, strict=True))]
    if head.shape != scans.shape:
        raise PhysMRISynthError(f"The maps of {scans.subject} do not lie on the grid of its scans at 1 mm. Simulate its session again.")
    (above, beside), (y, x) = (n // 2 for n in SHAPE), scans.centre[1:]
    padded = np.pad(head[planes], [(0, 0), (above, above), (beside, beside)], constant_values=air)
    return padded[:, y : y + SHAPE[0], x : x + SHAPE[1]]
