"""The 3D methods on the whole heads of the test slices: the network alone, and both priors with the fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from PhysMRISynthLib import __version__
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.whole_file import whole_file
from PhysMRISynthLib.workflow.estimation.estimate import Estimate

from ..plan import Plan
from ..refit import expected_images, expected_maps
from ..similarity import least_squares_gain
from .slices import KnownSlices

ALONE, NETWORK_FIT, LITERATURE_FIT = "3D network alone", "3D network with the fit", "literature prior with the fit"
_FITTED = {"network": NETWORK_FIT, "literature": LITERATURE_FIT}
SUBSETS_3D = (ROLES, ("t1w", "flair"), ("t1w",))
"""Inputs of the 3D methods, of the subsets that the 2D model has."""


@dataclass(frozen=True)
class Reconstruction:
    """Slices by one method from some inputs: ``images`` (M, N, *SHAPE) in the files' unit, NaN for those that are not inputs, and ``maps``
    (3, N, *SHAPE) of PD (fraction), T1 and T2 (ms)."""

    images: np.ndarray
    maps: np.ndarray


def reconstructions(
    plan: Plan, priors: Iterable[str], slices: KnownSlices, names: Sequence[str], cache: Path
) -> Iterator[tuple[str, Reconstruction]]:
    """The slices by each 3D method of these ``priors``, from whole images of these ``names``, kept in the folder ``cache``."""
    for prior in priors:
        path = cache / f"{slices.session.name}-{'-'.join(names)}-{prior}-{_fingerprint(plan, slices)}.npz"
        if not path.exists():
            acquisitions = tuple(a for a in slices.acquisitions() if a.name in names)
            estimate = plan.estimate(prior, acquisitions, slices.scans.field_strength, f"{slices.name}, {' + '.join(names)}")
            _keep(path, _by_method(prior, estimate, slices))
        yield from _kept(path)


def _fingerprint(plan: Plan, slices: KnownSlices) -> str:
    """Of everything else that determines an estimate."""
    parts = [__version__, plan.sha256, slices.scans.path.name, slices.planes.tolist()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _by_method(prior: str, estimate: Estimate, slices: KnownSlices) -> dict[str, Reconstruction]:
    maps = (estimate.maps.pd, estimate.maps.t1, estimate.maps.t2)
    found = {_FITTED[prior]: _sliced(estimate, slices, estimate.fits, maps)}
    if prior == "network":
        brain = estimate.brain
        expected = expected_images(estimate, estimate.acquisitions)
        images = {name: image * least_squares_gain(image[brain], estimate.inputs[name][brain]) for name, image in expected.items()}
        found[ALONE] = _sliced(estimate, slices, images, expected_maps(estimate))
    return found


def _sliced(
    estimate: Estimate, slices: KnownSlices, images: Mapping[str, np.ndarray], maps: Sequence[np.ndarray] | np.ndarray
) -> Reconstruction:
    def of(voxels: np.ndarray) -> np.ndarray:
        return slices.of(estimate.maps.image(voxels.astype(np.float32)))

    missing = np.full(slices.tissue.shape, np.nan, dtype=np.float32)
    shown = [of(images[role]) if role in images else missing for role in ROLES]
    return Reconstruction(np.stack(shown), np.stack([of(voxels) for voxels in maps]))


def _keep(path: Path, found: Mapping[str, Reconstruction]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"{method}/{part}": array for method, r in found.items() for part, array in (("images", r.images), ("maps", r.maps))}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _kept(path: Path) -> Iterator[tuple[str, Reconstruction]]:
    with np.load(path) as file:
        for method in dict.fromkeys(name.split("/")[0] for name in file.files):
            yield method, Reconstruction(file[f"{method}/images"], file[f"{method}/maps"])
