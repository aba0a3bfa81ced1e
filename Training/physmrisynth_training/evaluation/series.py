"""Suite ``series``: two or three images of a measured series as inputs of the voxel fit, against the full fit of the series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.fitting.voxelwise import fit_voxels, predict
from PhysMRISynthLib.imaging.intake.noise_level import noise_level
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import PROPERTIES

from .agreement import COLUMNS, agreement, cells, draw_agreement
from .drawing import page, save
from .plan import Plan
from .refit import BROAD_LOG_SD, BROAD_MEDIAN
from .results import Findings, Table
from .series_fits import dual_angle_t1, inversion_recovery_t1, spin_echo_t2, variable_flip_angle_t1

_FOLDER = "measured"
_BRAIN_MS = {"T1": (400.0, 2500.0), "T2": (40.0, 250.0)}
"""Range of full fits that count: brain tissue, without fluid, fat and failures."""
_MIDDLE_PD = 0.75
_STARTS_T1 = (600.0, 1200.0, 3000.0)
"""ms"""
_GAIN_STEPS = 3
_VARIANCE = {"T1": 3, "T2": 5}
_NOTES = (
    "Voxel level alone, on one slice: the images chosen are fitted by the product's equations and voxel fit under one broad prior (a "
    "factor of e about PD 0.75, T1 1 s, T2 0.1 s): a slice cannot be aligned with the atlas, and its receive field is unknown, so PD is "
    "relative. All images of a series share one gain. The reference is the full fit of all images. Field strength and unstated "
    "values (TR of the echoes, TE) scale PD alone.",
    "Voxels count if the full fit itself is plausible: T1 400 to 2500 or T2 40 to 250 ms, and for inversion recovery |b/a| within 1.7 and "
    "2.3 (about 2: an inversion). It leaves the inversion's efficiency free; the equation assumes a perfect one. Variable flip angles: the "
    "first row's reference uses the transmit field, the second's does not; the estimate never does. Echoes of "
    "a train of pulses below 180° alternate (in these data the first is 13 % below the mono-exponential, the second 9 % above it), so "
    "T2 from few echoes depends on their choice.",
)
Fit = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Case:
    """``inputs`` (index of an image and its protocol) of the series in ``file``, whose ``full`` fit of all images (images, N) gives the
    ``quantity``; ``mask`` names a file (None: bright voxels)."""

    name: str
    file: str
    mask: str | None
    quantity: str
    inputs: tuple[tuple[int, Protocol], ...]
    full: Fit

    @property
    def chosen(self) -> str:
        """The inputs in words, by the parameter in which they differ."""
        values = [protocol.values for _, protocol in self.inputs]
        differing = [name for name in values[0] if len({v[name] for v in values}) > 1]
        return " + ".join("/".join(f"{name} {v[name]:g}" for name in differing) for v in values)


def cases(plan: Plan) -> tuple[Case, ...]:
    """The comparisons. Times and angles are from the series' own description."""
    inversion, echo = 350.0 + 150.0 * np.arange(9.0), 12.8 * np.arange(1.0, 31.0)
    inversion[-1] = 1700.0
    recovery = partial(inversion_recovery_t1, inversion_times=inversion)
    decay = partial(spin_echo_t2, echo_times=echo)

    def inverted(*chosen: int) -> Case:
        inputs = tuple((i, Protocol.of("ir", "series", TR=2500, TI=inversion[i], TE=0)) for i in chosen)
        return Case("inversion recovery", "inversion_recovery.nii.gz", "inversion_recovery_mask.nii.gz", "T1", inputs, recovery)

    def echoes(*chosen: int) -> Case:
        inputs = tuple((i, Protocol.of("se", "series", TR=10000, TE=echo[i])) for i in chosen)
        return Case("30 spin echoes", "mono_t2.nii.gz", "mono_t2_mask.nii.gz", "T2", inputs, decay)

    angles = tuple((i, Protocol.of("spgr", "series", TR=15, TE=0, FA=fa)) for i, fa in enumerate((3.0, 20.0)))
    weighted = tuple((i, Protocol.of("spgr", "series", TR=tr, TE=0, FA=fa)) for i, tr, fa in ((1, 28, 6), (2, 18, 20)))
    vfa = partial(Case, file="vfa_t1.nii.gz", mask="vfa_t1_mask.nii.gz", quantity="T1", inputs=angles)
    known = _masked(plan, "vfa_t1_B1map.nii.gz", "vfa_t1_mask.nii.gz")[0]
    return (
        inverted(0, 8), inverted(0, 4, 8), inverted(2, 4, 7), echoes(1, 7), echoes(1, 5, 11), echoes(0, 9, 19),
        vfa("flip angles, transmit field known to the reference", full=partial(_by_angle, transmit=known)),
        vfa("flip angles, transmit field known to neither", full=partial(_by_angle, transmit=np.ones_like(known))),
        Case("PDw and T1w of MT saturation", "mt_sat.nii.gz", None, "T1", weighted, _by_two_angles),
    )  # fmt: skip


def _by_angle(images: np.ndarray, transmit: np.ndarray) -> np.ndarray:
    return variable_flip_angle_t1(images, np.array([3.0, 20.0]), 15.0, transmit)


def _by_two_angles(images: np.ndarray) -> np.ndarray:
    return dual_angle_t1(images[1], images[2], (6.0, 20.0), (28.0, 18.0))


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError when a series is missing."""
    for name in ("inversion_recovery", "mono_t2", "vfa_t1", "mt_sat"):
        plan.file(f"{_FOLDER}/{name}.nii.gz")


def measure(plan: Plan) -> Findings:
    """Agreement of every case."""
    records, pairs = [], []
    for case in cases(plan):
        estimate, reference, sd = compare(plan, case)
        found = agreement(estimate, reference, sd)
        records.append({"series": case.name, "inputs": case.chosen, "quantity": case.quantity, **asdict(found)})
        pairs.append((case, found, estimate, reference))
    rows = tuple((case.name, case.chosen, f"{case.quantity} (ms)", *cells(found)) for case, found, *_ in pairs)
    table = Table("Against the full fit", ("series", "inputs", "quantity", *COLUMNS), rows)
    return Findings(records, [table], _NOTES, partial(_draw, pairs))


def compare(plan: Plan, case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, full fit and the estimate's SD (ms) at the voxels of brain tissue."""
    images, mask = _series(plan, case)
    inside = images[:, mask]
    reference = case.full(inside)
    protocols = [protocol for _, protocol in case.inputs]
    values, sd = _fitted([images[i] for i, _ in case.inputs], protocols, mask, case.quantity)
    low, high = _BRAIN_MS[case.quantity]
    seen = np.isfinite(reference) & (reference > low) & (reference < high)
    if not seen.any():
        raise PhysMRISynthError(f"{case.file} shows no brain tissue. Copy the data folder again.")
    return values[seen], reference[seen], sd[seen]


def _series(plan: Plan, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images (images, z, y, x) and a mask of the head."""
    if case.mask is not None:
        return _read(plan, case.file), _read(plan, case.mask)[0] > 0
    images = _read(plan, case.file)
    first = images[case.inputs[0][0]]
    return images, first > 0.3 * np.percentile(first, 99)


def _masked(plan: Plan, file: str, mask: str) -> np.ndarray:
    return _read(plan, file)[:, _read(plan, mask)[0] > 0]


def _read(plan: Plan, name: str) -> np.ndarray:
    """A file of the folder (images, z, y, x); a single image is a series of one."""
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(plan.file(f"{_FOLDER}/{name}")), sitk.sitkFloat32))
    return voxels if voxels.ndim == 4 else voxels[None]


def _fitted(images: Sequence[np.ndarray], protocols: Sequence[Protocol], mask: np.ndarray, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """A quantity (ms) and its SD at the mask's voxels, with the gain that sets the median of PD to that of the brain."""
    count = int(mask.sum())
    everywhere = np.ones(count, dtype=bool)
    observed = [
        Observation(f"image {i}", protocol, image[mask].astype(np.float32), noise_level(image, mask), everywhere)
        for i, (image, protocol) in enumerate(zip(images, protocols, strict=True))
    ]
    median = np.repeat(BROAD_MEDIAN[:, None], count, axis=1)
    precision = np.zeros((6, count), dtype=np.float32)
    precision[[0, 3, 5]] = 1.0 / BROAD_LOG_SD**2
    bright = [float(protocol.signal(*(np.exp(median[:, :1])))[0]) for protocol in protocols]
    gain = max(float(np.median(o.signal)) / b for o, b in zip(observed, bright, strict=True))
    for _ in range(_GAIN_STEPS):
        gains = [np.full(count, gain, dtype=np.float32)] * len(observed)
        theta, covariance = _best(observed, gains, median, precision)
        gain *= float(np.exp(np.median(theta[0]))) / _MIDDLE_PD
    values = np.exp(theta[PROPERTIES.index(quantity)])
    return values, values * np.sqrt(covariance[_VARIANCE[quantity]])


def _best(
    observed: Sequence[Observation], gains: Sequence[np.ndarray], median: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most likely of the fits from several starting T1: magnitudes near a null have two solutions."""
    least = np.full(median.shape[1], np.inf)
    theta, covariance = np.empty_like(median), np.empty_like(precision)
    for t1 in _STARTS_T1:
        start = median.copy()
        start[1] = np.log(t1)
        found, spread = fit_voxels(observed, gains, median, precision, iterations=30, start=start)
        misfits = (o.weight * (predict(o, found, g)[0] - o.signal) ** 2 for o, g in zip(observed, gains, strict=True))
        cost = sum(misfits) + ((found - median) ** 2).sum(axis=0) / BROAD_LOG_SD**2
        better = cost < least
        least = np.where(better, cost, least)
        theta, covariance = np.where(better, found, theta), np.where(better, spread, covariance)
    return theta, covariance


def _draw(pairs: Sequence[tuple[Case, Any, np.ndarray, np.ndarray]], path: Path) -> None:
    """Bland-Altman plot of every case."""
    columns = 3
    figure, axes = page(-(-len(pairs) // columns), columns, 4.6, 3.2)
    for ax, (case, found, estimate, reference) in zip(axes.ravel(), pairs, strict=False):
        colours: Mapping[str, str] = {case.chosen: "#0077bb"}
        draw_agreement(ax, {case.chosen: (estimate, reference)}, "ms", colours)
        ax.set_title(f"{case.quantity}, {case.name}\nbias {found.bias:+.1f} %", fontsize=8)
    save(figure, path)
