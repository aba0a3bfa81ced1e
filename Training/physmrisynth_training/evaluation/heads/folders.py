"""A folder of heads to compare: tissue maps, label maps of people's brains in heads, or what ``physmrisynth sample`` writes."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.head.head_volumes import LESION, PARENCHYMA
from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.imaging.head.tissue_labels import rows_of
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps, read_tissue_maps
from PhysMRISynthLib.network.diffusion_config import CONDITIONS
from PhysMRISynthLib.workflow.tissue_values import maps_of, sampled_values

from ...learning.latents import SCALP_MM, brain_top
from ...simulator.anatomy import AIR, ORIENTATION
from ...simulator.labels import tissue_index
from ..anatomies import FIELD_STRENGTH, one_hot

SHAPE = (192, 224, 160)
"""Voxels (z, y, x; 1 mm) of every head that is compared: those of a synthetic head."""
TABLE = "heads.tsv"
"""Optional in a folder of heads: a row for each ``head``, with ``age``, ``sex`` and the conditions that were asked for."""
_TISSUES, _SUFFIX = "_tissues.nii.gz", ".nii.gz"
_SEX = {"F": 0.0, "M": 1.0}


@dataclass(frozen=True)
class HeadFile:
    """A head's ``path``, how its voxels become ``rows`` of the tissue table, and its ``numbers`` by the names of CONDITIONS: known of a
    person, asked of a sample."""

    name: str
    path: Path
    rows: Callable[[np.ndarray], np.ndarray]
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def tissue(self) -> np.ndarray:
        """Rows of the tissue table (SHAPE; uint8), LESION for lesions. Raises ImageError when the file cannot be read or is no head of
        1 mm."""
        try:
            image = sitk.DICOMOrient(sitk.ReadImage(str(self.path)), ORIENTATION)
        except RuntimeError as error:
            raise ImageError(f"The head {self.path} cannot be read: {error}") from None
        if not np.allclose(image.GetSpacing(), 1.0, atol=0.05):
            raise ImageError(f"The head {self.path} has voxels of {image.GetSpacing()} mm. Resample it to 1 mm.")
        tissue = self.rows(sitk.GetArrayFromImage(image))
        if int(tissue.max()) > LESION:
            raise ImageError(f"{self.path} has tissue {int(tissue.max())}: the rows of the tissue table end at {LESION}, for lesions.")
        return in_grid(tissue, self.path.name)

    def maps(self, seed: int) -> TissueMaps:
        """PD, T1 and T2 with tissue values and texture of a ``seed``; what ``physmrisynth sample`` wrote beside the tissues, if it did.
        Raises ImageError as :meth:`tissue`."""
        if self.path.with_name("PD.nii.gz").is_file():
            return read_tissue_maps(self.path.parent)
        rng = np.random.default_rng([seed, 1])
        return maps_of(one_hot(self.tissue()), sampled_values(FIELD_STRENGTH, rng), rng)


def heads_in(folder: Path) -> list[HeadFile]:
    """The heads of a folder by name: ``NAME_tissues.nii.gz`` (rows of the tissue table), or ``sample_NNNN`` as of ``physmrisynth sample``,
    or FreeSurfer-style label maps as of ``physmrisynth train people-in-heads``. Raises ImageError when there are none."""
    stated = _table(folder / TABLE)
    if paths := sorted(folder.glob(f"*{_TISSUES}")):
        found = [HeadFile(path.name.removesuffix(_TISSUES), path, _as_rows) for path in paths]
    elif paths := sorted(folder.glob("sample_*/tissues.nii.gz")):
        return [HeadFile(path.parent.name, path, _from_labels, _asked(path.parent / "report.json")) for path in paths]
    else:
        found = [HeadFile(path.name.removesuffix(_SUFFIX), path, _from_numbers) for path in sorted(folder.glob(f"*{_SUFFIX}"))]
    if not found:
        raise ImageError(f"{folder} holds no heads: no *{_TISSUES}, no sample_*/tissues.nii.gz and no label maps *{_SUFFIX}.")
    return [HeadFile(head.name, head.path, head.rows, stated.get(head.name, {})) for head in found]


def in_grid(tissue: np.ndarray, name: str) -> np.ndarray:
    """A head (z, y, x) cut or continued to SHAPE as in training: about the brain's centre, from above the scalp. Raises ImageError
    without a brain."""
    if tissue.shape == SHAPE:
        return tissue
    box = bounding_box(np.isin(tissue, PARENCHYMA))
    if box is None:
        raise ImageError(f"The head {name} shows no brain.")
    starts = [
        brain_top(tissue) + SCALP_MM - SHAPE[0],
        *((side.start + side.stop - n) // 2 for side, n in zip(box[1:], SHAPE[1:], strict=True)),
    ]
    places = [start + np.arange(n) for start, n in zip(starts, SHAPE, strict=True)]
    found = tissue[np.ix_(*(place.clip(0, n - 1) for place, n in zip(places, tissue.shape, strict=True)))]
    found[places[0] >= tissue.shape[0]] = AIR
    return found


def _as_rows(voxels: np.ndarray) -> np.ndarray:
    return np.asarray(voxels).astype(np.uint8)


def _from_numbers(voxels: np.ndarray) -> np.ndarray:
    return tissue_index(np.round(voxels).astype(np.int32))


def _from_labels(voxels: np.ndarray) -> np.ndarray:
    rows = rows_of(voxels.astype(np.uint8))
    return np.where(rows == 255, np.uint8(AIR), rows)


def _table(path: Path) -> dict[str, dict[str, float]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["head"]: _numbers(row) for row in csv.DictReader(file, delimiter="\t")}


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    known = {name: row[name] for name in CONDITIONS if row.get(name)}
    return {name: _SEX[value] if value in _SEX else float(value) for name, value in known.items()}


def _asked(report: Path) -> dict[str, float]:
    return dict(json.loads(report.read_text(encoding="utf-8"))["sampled"]["condition"]) if report.is_file() else {}
