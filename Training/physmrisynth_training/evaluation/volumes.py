"""Suite ``volumes``: tissue volumes and overlap in heads with known label maps and partial-volume voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.head.tissue_labels import rows_of
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.physics.noise import add_noise, receive_field
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from PhysMRISynthLib.workflow.results.map_set import MapSet
from PhysMRISynthLib.workflow.results.tissue_output import estimated_labels
from PhysMRISynthLib.workflow.results.tissue_volumes import brain_volumes

from ..simulator.labels import VENTRICLES
from ..simulator.standard_acquisition import FIELD, GAIN_SPREAD, NOISE, PROTOCOLS, known_head
from .drawing import COLOURS, page, save
from .plan import EXAMPLE, Plan, progress_bar
from .results import Findings, Table
from .segmentation import dice

TEST_PEOPLE = ("06", "12", "24", "30", "42", "48", "60", "66")
_FACTOR = 2
"""Voxels of the label maps along each side of a voxel of the images."""
_NAMES = [tissue.name for tissue in tissue_table()]
_TISSUES = ("white_matter", "cortex", "deep_grey", "thalamus", "csf")
_WITHIN_PERCENT = 5.0
_NOTES = (
    "Images of the standard test acquisition computed at the label maps' 1 mm and averaged over 2 × 2 × 2 voxels, so that a voxel holds "
    "several tissues as in a scan; people's label maps hold the brain alone. True volumes are counts of the 1 mm labels. Dice: each 2 mm "
    "voxel counts as its largest tissue. The label maps were not used for training. Real scans have worse images and "
    "protocols: these figures are the best case.",
)
Record = dict[str, Any]


@dataclass(frozen=True)
class Scanned:
    """A head of known tissue at 1 mm, and its images in voxels of 2 mm."""

    name: str
    truth: KnownHead
    labels: np.ndarray
    acquisitions: tuple[Acquisition, ...]


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if a label map is missing."""
    for path in _files(plan).values():
        plan.file(path)


def _files(plan: Plan) -> dict[str, str]:
    heads = {f"head {head}": f"head_labels/head_{int(head):02d}.nii.gz" for head in plan.heads if head != EXAMPLE}
    return heads | {f"person {number}": f"people/person_{number}_labels.nii.gz" for number in TEST_PEOPLE}


def measure(plan: Plan) -> Findings:
    """Errors of volumes, and Dice of tissues, of every head and prior."""
    records: list[Record] = []
    with progress_bar(len(_files(plan)) * len(plan.estimators), "volumes") as bar:
        for number, (name, path) in enumerate(_files(plan).items()):
            scanned = scan(name, sitk.ReadImage(str(plan.file(path))), np.random.default_rng(100 + number))
            for prior in plan.estimators:
                records.append(_record(scanned, prior, plan.estimate(prior, scanned.acquisitions, 3.0, name)))
                bar.update()
    return Findings(records, [_volume_table(records), _dice_table(records)], _NOTES, partial(_draw, records, list(plan.estimators)))


def scan(name: str, labels: sitk.Image, rng: np.random.Generator) -> Scanned:
    """Images of a label map with partial-volume voxels."""
    size = [n // _FACTOR * _FACTOR for n in labels.GetSize()]
    labels = labels[: size[0], : size[1], : size[2]]
    head = known_head(labels, rng)
    stripped = not (head.tissue == _NAMES.index("bone")).any()
    acquisitions = []
    for role, protocol in PROTOCOLS.items():
        maps = head.maps
        clean = protocol.signal(maps.pd, maps.t1, maps.t2) * receive_field(maps.pd.shape, labels.GetSpacing()[::-1], FIELD, rng)
        image = sitk.BinShrink(maps.image(np.where(maps.mask | (not stripped), clean, 0.0).astype(np.float32)), [_FACTOR] * 3)
        voxels = sitk.GetArrayFromImage(image)
        scaled = voxels * np.float32(300.0 * np.exp(rng.normal(0.0, GAIN_SPREAD)) / np.percentile(voxels, 99))
        noisy = add_noise(scaled, NOISE * float(np.percentile(scaled, 99)), rng)
        made = sitk.GetImageFromArray(np.where(voxels > 0, noisy, 0.0) if stripped else noisy)
        made.CopyInformation(image)
        acquisitions.append(Acquisition(role, volume_from_image(sitk.Cast(made, sitk.sitkFloat32)), protocol))
    return Scanned(name, head, sitk.GetArrayFromImage(labels).astype(np.int32), tuple(acquisitions))


def map_set(estimate: Estimate) -> MapSet:
    """An estimate as the map set that its files would give."""
    maps = replace(estimate.maps, provenance={"tissue_medians": estimate.medians, "field_strength_tesla": estimate.head.field_strength})
    return MapSet(maps, sitk.GetArrayFromImage(estimated_labels(estimate)))


def _record(scanned: Scanned, prior: str, estimate: Estimate) -> Record:
    head = map_set(estimate)
    assert head.labels is not None
    found = brain_volumes(head)
    ml = np.bincount(scanned.truth.tissue.reshape(-1), minlength=len(_NAMES)) * float(np.prod(scanned.truth.maps.grid.GetSpacing())) / 1e3
    of = dict(zip(_NAMES, ml.tolist(), strict=True))
    true = {
        "intracranial": sum(of[name] for name in _TISSUES), "brain": sum(of[name] for name in _TISSUES[:-1]),
        "white_matter": of["white_matter"], "cortical_grey": of["cortex"], "deep_grey": of["deep_grey"] + of["thalamus"], "csf": of["csf"],
        "ventricles": float(np.isin(scanned.labels, VENTRICLES).sum()) * float(np.prod(scanned.truth.maps.grid.GetSpacing())) / 1e3,
    }  # fmt: skip
    fractions = np.stack([_shrunk(scanned.truth.tissue == row) for row in range(len(_TISSUES))])
    largest = np.where(fractions.sum(axis=0) > 0.5, fractions.argmax(axis=0), 255)
    rows = rows_of(head.labels)
    true = {name: value for name, value in true.items() if value > 0 and name in found.volumes}
    return {
        "head": scanned.name, "prior": prior, "true_ml": true,
        "error_percent": {name: 100.0 * (found.volumes[name].ml / value - 1.0) for name, value in true.items()},
        "dice": {name: dice(largest == row, rows == row) for row, name in enumerate(_TISSUES)},
    }  # fmt: skip


def _shrunk(mask: np.ndarray) -> np.ndarray:
    z, y, x = (n // _FACTOR for n in mask.shape)
    return mask.reshape(z, _FACTOR, y, _FACTOR, x, _FACTOR).mean(axis=(1, 3, 5), dtype=np.float32)


def _volume_table(records: Sequence[Record]) -> Table:
    rows = []
    for prior in dict.fromkeys(r["prior"] for r in records):
        for name in records[0]["true_ml"]:
            errors = np.array([r["error_percent"][name] for r in records if r["prior"] == prior])
            rows.append((
                prior, name.replace("_", " "), f"{errors.mean():+.1f}", f"{np.sqrt(np.mean(errors**2)):.1f}",
                f"{100 * (np.abs(errors) <= _WITHIN_PERCENT).mean():.0f}", f"{errors.min():+.1f} to {errors.max():+.1f}",
            ))  # fmt: skip
    columns = ("prior", "volume", "mean error %", "rms error %", f"within {_WITHIN_PERCENT:g} %, % of heads", "range %")
    return Table("Volumes", columns, tuple(rows))


def _dice_table(records: Sequence[Record]) -> Table:
    rows = []
    for prior in dict.fromkeys(r["prior"] for r in records):
        means = (np.array([r["dice"][name] for r in records if r["prior"] == prior]) for name in _TISSUES)
        rows.append((prior, *(f"{values.mean():.3f} ({values.min():.3f})" for values in means)))
    return Table("Dice, mean (least)", ("prior", *(name.replace("_", " ") for name in _TISSUES)), tuple(rows))


def _draw(records: Sequence[Mapping[str, Any]], priors: Sequence[str], path: Path) -> None:
    """Errors of all heads by volume."""
    figure, axes = page(1, 1, 7.0, 3.2)
    names = list(records[0]["true_ml"])
    for place, prior in enumerate(priors):
        for column, name in enumerate(names):
            errors = [r["error_percent"][name] for r in records if r["prior"] == prior]
            where = np.full(len(errors), column + 0.2 * (place - (len(priors) - 1) / 2))
            axes[0, 0].plot(where, errors, "o", color=COLOURS.get(prior), markersize=4, label=prior if column == 0 else None)
    axes[0, 0].axhspan(-_WITHIN_PERCENT, _WITHIN_PERCENT, color="#dddddd", zorder=0)
    axes[0, 0].set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], fontsize=8)
    axes[0, 0].set_ylabel("error of the volume (%)")
    axes[0, 0].legend(fontsize=7, frameon=False)
    save(figure, path)
