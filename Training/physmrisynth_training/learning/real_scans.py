"""Real scans: each session is read and aligned once and cached for later passes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.imaging.head.alignment import align, isotropic
from PhysMRISynthLib.imaging.head.masks import bounding_box, head_mask
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.sessions import Session
from PhysMRISynthLib.imaging.intake.sidecar import sidecar_of
from PhysMRISynthLib.imaging.intake.volumes import same_grid
from PhysMRISynthLib.network.inference import normalised
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.whole_file import whole_file
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisition

from ..simulator.anatomy import ORIENTATION
from ..simulator.paper_equations import brightest_tissue

_log = logging.getLogger(__name__)
_FORMAT = "physmrisynth-scans-2"
_MARGIN = 8
_HEAD_MM = 160
"""Axial slices are taken from the uppermost 160 mm of a head, as in the paper; below lies the neck."""


@dataclass(frozen=True)
class CachedScans:
    """One cached session: 1 mm (z, y, x; axes towards superior, posterior, left), cropped to the head.

    The file holds the network's inputs; times ``levels`` (M) they are the raw images, except for one factor per session, which keeps the
    ratios of contrasts: it gives the first image's bright tissue the signal of the literature's brightest brain tissue, so that PD, which
    absorbs the scanner's gain, starts near a fraction of water. Axial ``planes`` (first, end) show the head; ``centre`` is its middle.
    ``protocols`` (M) are None if the session lacks an input. ``field_strength`` is in tesla. ``unit`` is that factor: the raw image's
    number for 1. ``corner`` is the first voxel's place in the first input, oriented and at 1 mm.
    """

    path: Path
    subject: str
    shape: tuple[int, int, int]
    centre: tuple[int, int, int]
    planes: tuple[int, int]
    levels: np.ndarray
    protocols: tuple[Protocol | None, ...]
    field_strength: float
    unit: float
    corner: tuple[int, int, int]

    def read(self, middle: Sequence[int], shape: Sequence[int]) -> np.ndarray:
        """Inputs (M, *shape) around a voxel, float32; NaN without data. Outside the cached box images are continued as air."""
        wanted = [np.arange(n) + m - n // 2 for m, n in zip(middle, shape, strict=True)]
        nearest = [w.clip(0, n - 1) for w, n in zip(wanted, self.shape, strict=True)]
        with safe_open(self.path, framework="np") as file:
            found = file.get_slice("images")[(slice(None), *(slice(int(i[0]), int(i[-1]) + 1) for i in nearest))]
        piece = found[np.ix_(np.arange(len(found)), *(i - i[0] for i in nearest))].astype(np.float32)
        z, y, x = (w != i for w, i in zip(wanted, nearest, strict=True))
        beyond = z[:, None, None] | y[:, None] | x
        return np.where(beyond & ~np.isnan(piece), np.float32(0.0), piece)


def cached_scans(sessions: Sequence[Session], folder: Path, progress: Callable[[str], None]) -> list[CachedScans]:
    """Every session that can be used, from ``folder`` or, the first time, from its files; others are skipped with a warning.

    Raises PhysMRISynthError when none can be used.
    """
    usable = []
    for number, session in enumerate(sessions, start=1):
        path = folder / f"{session.name}-{_fingerprint(session)}.safetensors"
        found = _opened(path)
        if found is None:
            progress(f"reading scans: session {number} of {len(sessions)}")
            found = _kept(session, path)
        if found is not None:
            usable.append(found)
    if not usable:
        raise PhysMRISynthError(f"None of the {len(sessions)} sessions of scans can be used: see the warnings. Check the files.")
    return usable


def _fingerprint(session: Session) -> str:
    """Fingerprint of a session's files and sidecars."""
    files = [f for path in session.files.values() for f in (path, sidecar_of(path)) if f is not None]
    stamps = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(json.dumps([_FORMAT, stamps]).encode()).hexdigest()[:12]


def _opened(path: Path) -> CachedScans | None:
    """A cached session, or None if there is no readable one."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = json.loads(file.metadata()["session"])
            shape = tuple(file.get_slice("images").get_shape()[1:])
    except (OSError, SafetensorError):
        return None
    protocols = tuple(parse_protocol(text, "scans") if text else None for text in metadata["protocols"])
    return CachedScans(
        path, metadata["subject"], shape, tuple(metadata["centre"]), tuple(metadata["planes"]),
        np.array(metadata["levels"], dtype=np.float32), protocols, metadata["field_strength"], metadata["unit"], tuple(metadata["corner"]),
    )  # fmt: skip


def _kept(session: Session, path: Path) -> CachedScans | None:
    """Read a session and cache it; None, with a warning, if it cannot be used."""
    try:
        images, metadata = _read(session)
    except PhysMRISynthError as error:
        _log.warning("Session %s is skipped: %s", session.name, error)
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:  # processes may read the same session at once
        save_file({"images": images}, temporary, metadata={"session": json.dumps(metadata)})
    return _opened(path)


def _read(session: Session) -> tuple[np.ndarray, dict[str, object]]:
    """Inputs (M, z, y, x), float16, NaN without data, and the metadata to cache."""
    acquisitions = [read_acquisition(role, session.files[role]) for role in ROLES if role in session.files]
    for a in acquisitions:
        for note in (*a.protocol.notes, *a.volume.notes):
            _log.warning("%s: %s", a.volume.path, note)
    strength = _field_strength(acquisitions)
    stack, head, corner = _aligned(acquisitions)
    images = np.full((len(ROLES), *stack.shape[1:]), np.nan, dtype=np.float16)
    levels, protocols = np.ones(len(ROLES)), [""] * len(ROLES)
    for a, voxels in zip(acquisitions, stack, strict=True):
        place = ROLES.index(a.name)
        inputs = normalised(np.nan_to_num(voxels))
        levels[place], protocols[place] = _level(voxels, inputs), a.protocol.spec
        images[place] = np.where(np.isnan(voxels), np.nan, inputs)
    unit = levels[ROLES.index(acquisitions[0].name)] / brightest_tissue(acquisitions[0].protocol, strength)
    return images, {
        "subject": session.subject, "planes": (max(head[0].start, head[0].stop - _HEAD_MM), head[0].stop),
        "centre": [(side.start + side.stop) // 2 for side in head], "levels": (levels / unit).tolist(), "protocols": protocols,
        "field_strength": strength, "unit": float(unit), "corner": corner,
    }  # fmt: skip


def _level(voxels: np.ndarray, inputs: np.ndarray) -> float:
    """Factor from the scaled ``inputs`` to ``voxels``. Raises PhysMRISynthError without signal."""
    top = float(inputs.max())
    if top <= 0:
        raise PhysMRISynthError("One of its images is dark where the first one shows the head. Check that they are of the same session.")
    return float(np.nanmax(voxels)) / top


def _field_strength(acquisitions: Sequence[Acquisition]) -> float:
    """Field strength (tesla) by the sidecars, else 3. Raises PhysMRISynthError when they disagree or it has no tissue values."""
    stated = {round(a.field_strength, 1) for a in acquisitions if a.field_strength is not None}
    if len(stated) > 1:
        raise PhysMRISynthError(f"Its sidecars state different field strengths ({', '.join(map(str, sorted(stated)))} T). Correct them.")
    strength = stated.pop() if stated else 3.0
    tissue_table(strength)
    return strength


def _aligned(acquisitions: Sequence[Acquisition]) -> tuple[np.ndarray, tuple[slice, ...], list[int]]:
    """Images (M, z, y, x) on the first one's grid at 1 mm, NaN without data, cropped to the head; the head's box in them; their corner.

    Images on the first one's grid are assumed to be aligned; others are registered.
    """
    first = acquisitions[0].volume.image
    reference = isotropic(sitk.DICOMOrient(first, ORIENTATION), 1.0)
    found: list[tuple[sitk.Image, np.ndarray | None]] = [(reference, None)]
    for a in acquisitions[1:]:
        alignment = align(a.volume.image, reference, register=not same_grid(a.volume.image, first))
        found.append((alignment.image, alignment.covered))
    head = bounding_box(head_mask([reference]))
    assert head is not None  # head_mask refuses an empty one
    cut = tuple(slice(max(side.start - _MARGIN, 0), side.stop + _MARGIN) for side in head)
    stack = np.stack([sitk.GetArrayFromImage(image)[cut] for image, _ in found])
    for image, (_, covered) in zip(stack, found, strict=True):
        if covered is not None:
            image[~covered[cut]] = np.nan
    inside = tuple(slice(side.start - c.start, side.stop - c.start) for side, c in zip(head, cut, strict=True))
    return stack, inside, [side.start for side in cut]
