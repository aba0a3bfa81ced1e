"""Tissue maps as a BIDS derivative: names, units (seconds, per cent) and JSON as the Brain Imaging Data Structure has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...errors import ImageError, Remedy
from ...imaging.tissue_maps import PER_CENT
from ...whole_file import whole_file
from ..estimation.estimate import Estimate
from .html_report import write_pages
from .outputs import is_taken, write_json, writing
from .report import estimate_report
from .tissue_output import estimated_labels, write_labels

DESCRIPTION = "dataset_description.json"
REPORT = "report.json"
"""How the name of a visit's report ends."""
_NAME = "PhysMRISynth"
_BIDS_VERSION = "1.10.0"
_IGNORED = ("*_report.json", "*_report.png", "*_report.html", "*_report.pdf", "cohort.tsv", "index.html")
"""What BIDS has no names for."""
_MAPS = {
    "T1map": ("T1", "s", 1e-3, "Longitudinal relaxation time"),
    "T2map": ("T2", "s", 1e-3, "Transverse relaxation time"),
    "PDmap": ("PD", "%", PER_CENT, "Proton density, % of that of water"),
}
"""By BIDS' suffix: the quantity, its unit, what it is multiplied by to have that unit, and its name."""
_ALGORITHM = "Maximum a posteriori fit of the sequences' signal equations in every voxel"


def write_derivative(estimate: Estimate, folder: Path, name: str, sources: Mapping[str, str]) -> dict[str, Any]:
    """Write maps, SDs, masks, figure into an existing ``folder`` under a ``name`` such as sub-1_ses-2; the report as JSON values.

    T1 and T2 are in seconds, PD in %. ``sources`` are the inputs' BIDS URIs by role.
    """
    shared = {
        "Sources": list(sources.values()), "SpatialReference": sources.get(estimate.reference),
        "MagneticFieldStrength": estimate.field_strength,
    }  # fmt: skip
    maps, images = estimate.maps, {}
    values = {"PD": maps.pd, "T1": maps.t1, "T2": maps.t2}
    for suffix, (quantity, unit, factor, title) in _MAPS.items():
        told = {**shared, "Units": unit, "EstimationAlgorithm": _ALGORITHM}
        images[f"{name}_{suffix}"] = maps.image(values[quantity] * np.float32(factor)), {"Description": title, **told}
        deviation = maps.image(maps.sd[quantity] * np.float32(factor))
        images[f"{name}_desc-sd_{suffix}"] = deviation, {"Description": f"{title}: standard deviation", **told}
    masks = [("brain", estimate.brain, "Brain"), ("head", maps.mask, "ROI")]
    if estimate.unfamiliar is not None:
        masks.append(("unfamiliar", estimate.unfamiliar, "ROI"))
    for desc, mask, kind in masks:
        told = {"Description": f"Voxels of the {desc}", "Type": kind, **shared}
        images[f"{name}_desc-{desc}_mask"] = maps.image(mask.astype(np.uint8)), told
    with writing({f"{file}.nii.gz": image for file, (image, _) in images.items()}, folder):
        for file, (_, told) in images.items():
            write_json(told, folder / f"{file}.json")
        write_labels(estimated_labels(estimate), folder, f"{name}_dseg")
        write_json({"Description": "Tissue of which a voxel holds most", **shared}, folder / f"{name}_dseg.json")
        report = estimate_report(estimate)
        write_pages(estimate, report, folder, f"{name}_report")
    return report


def begin_dataset(root: Path, out: Path, overwrite: bool, made: str = "Tissue maps") -> None:
    """Make the folder of the derivatives of the data set ``root``, with its description of what was ``made``, or go on with an earlier
    one.

    Raises ImageError when ``out`` is the data set itself, is of another data set, or holds files of something else, unless ``overwrite``
    allows that last.
    """
    if out.resolve() == root.resolve():
        inside = Remedy.DO(this=f"use {out / 'derivatives' / 'physmrisynth'}")
        raise ImageError(f"{out} is the data set itself.", Remedy.CHOOSE_OUTPUT, inside)
    taken = is_taken(out)  # before the look for a description: what another run that begins now has written is ours, then
    if _is_ours(out):
        _check_source(root, out)
    elif taken and not (overwrite and out.is_dir()):
        raise ImageError(f"{out} exists already and holds no cohort of {_NAME}.", Remedy.CHOOSE_OUTPUT, Remedy.OVERWRITE)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(json.dumps(_description(root, made), indent=2, ensure_ascii=False), out / DESCRIPTION)
        write_text("\n".join(_IGNORED) + "\n", out / ".bidsignore")
    except OSError as error:
        raise ImageError(f"{out} could not be written ({error.strerror or error}). Check free space and permissions.") from error


def _check_source(root: Path, out: Path) -> None:
    """Refuse derivatives of another data set: visits of one name would be taken for each other."""
    links = json.loads((out / DESCRIPTION).read_text(encoding="utf-8")).get("DatasetLinks")
    of = links.get("raw") if isinstance(links, dict) else None
    if of is not None and of != root.resolve().as_uri():
        raise ImageError(
            f"{out} holds maps of the data set {of}. If that data set has moved, write {root.resolve().as_uri()} as DatasetLinks.raw into "
            f"{out / DESCRIPTION}.",
            Remedy.CHOOSE_OUTPUT,
        )


def write_text(text: str, path: Path) -> None:
    """Write a text file whole or not at all. Raises OSError."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _description(root: Path, of: str) -> dict[str, Any]:
    place = root.resolve().as_uri()
    made = {"Name": _NAME, "Version": __version__, "Description": "PD, T1 and T2 from MR images, and images from these. Research only."}
    return {
        "Name": f"{of} of {root.resolve().name}", "BIDSVersion": _BIDS_VERSION, "DatasetType": "derivative",
        "GeneratedBy": [made], "SourceDatasets": [{"URL": place}], "DatasetLinks": {"raw": place},
    }  # fmt: skip


def _is_ours(out: Path) -> bool:
    try:
        told = json.loads((out / DESCRIPTION).read_text(encoding="utf-8"))
        return any(made["Name"] == _NAME for made in told["GeneratedBy"])
    except (OSError, ValueError, LookupError, TypeError):
        return False
