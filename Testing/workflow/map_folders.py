"""Folders of maps as an estimate leaves them, made of the small head in a moment."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from PhysMRISynthLib.imaging.head.head_volumes import LESION
from PhysMRISynthLib.imaging.head.tissue_labels import labels_of
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import PROPERTIES, tissue_table
from PhysMRISynthLib.workflow.estimation.shared_errors import KEY, SharedErrors
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.results.map_set import MapSet
from PhysMRISynthLib.workflow.results.tissue_fractions import BRAIN_ROWS
from PhysMRISynthLib.workflow.results.tissue_output import write_labels

SUFFIXES = {"PD": ("PDmap", "%", 1.0), "T1": ("T1map", "s", 1e-3), "T2": ("T2map", "s", 1e-3)}
TISSUES = tuple(tissue.name for tissue in tissue_table() if tissue.region == "brain")
SHARED_SD, OWN_SD = 0.04, 0.03
"""Log-SDs of the errors that all voxels of a tissue share, and of each voxel's own."""


def shared(sd: float = SHARED_SD) -> SharedErrors:
    """Errors that are half common to all tissues."""
    size = len(TISSUES) * len(PROPERTIES)
    same = np.kron(np.ones((len(TISSUES),) * 2), np.eye(len(PROPERTIES)))
    return SharedErrors(TISSUES, sd**2 * (0.5 * same + 0.5 * np.eye(size)), 4.0 * sd**2 * np.eye(size), np.zeros((size, size)))


@cache
def head(extra: bool = False) -> MapSet:
    """The small head's maps with SDs of both kinds of error, its tissues and a report."""
    known = small_head()
    sd = float(np.hypot(SHARED_SD, OWN_SD))
    maps = known.maps
    report: dict[str, Any] = {"field_strength_tesla": 3.0, KEY: shared().report()}
    full = replace(maps, sd={"PD": sd * maps.pd, "T1": sd * maps.t1, "T2": sd * maps.t2}, provenance=report)
    brain = np.isin(known.tissue, BRAIN_ROWS) & (known.tissue != LESION)
    return MapSet(full, labels_of(known.tissue, brain), {"fluid_fraction": (known.tissue == 4).astype(np.float32)} if extra else {})


def write_maps(folder: Path, maps: TissueMaps | None = None, **report: Any) -> Path:
    """The head's maps (or others on its grid) as files, with ``report`` entries added."""
    found = head()
    folder.mkdir(parents=True, exist_ok=True)
    maps = maps or found.maps
    for name, image in maps.files().items():
        write_image(image, folder / name)
    assert found.labels is not None
    write_labels(maps.image(found.labels), folder)
    (folder / "report.json").write_text(json.dumps({**found.maps.provenance, **report}), encoding="utf-8")
    return folder


def write_derivative_maps(root: Path, *visits: str) -> Path:
    """The head's maps as the derivative of each visit (01 or 01/a), with reports that tell the protocols of its images."""
    for visit in visits:
        subject, _, session = visit.partition("/")
        labels = [f"sub-{subject}", *([f"ses-{session}"] if session else [])]
        folder, name = Path(root, *labels, "anat"), "_".join(labels)
        folder.mkdir(parents=True)
        for quantity, image in ((file.removesuffix(".nii.gz"), image) for file, image in head().maps.files().items()):
            if quantity in SUFFIXES:
                suffix, unit, factor = SUFFIXES[quantity]
                write_image(image * factor, folder / f"{name}_{suffix}.nii.gz")
                (folder / f"{name}_{suffix}.json").write_text(json.dumps({"Units": unit}), encoding="utf-8")
        inputs = {"flair": {"protocol": {"spec": "flair,TR=9000,TE=120,TI=2400"}}}
        report = {**head().maps.provenance, "inputs": inputs, "tissue_medians": {"white_matter": {"T1": 950.0, "T2": 74.0}}}
        (folder / f"{name}_report.json").write_text(json.dumps(report), encoding="utf-8")
    return root
