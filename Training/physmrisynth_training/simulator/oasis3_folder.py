"""A stand-in for OASIS-3: simulated sessions of the data folder's people and heads, in that data set's layout.

``sub-*/ses-*/anat/*_T1w.nii.gz`` (``_T2w``, ``_FLAIR``) with sidecars as :mod:`.oasis3` draws them, at 1 mm. T2w and FLAIR are missing as
often as in the parameter table. Gains are nearly what the paper assumes, G = 1: in each image white matter is as bright as by the paper's
equation, times one gain for the session and a factor of SD 10 % for the image. Each person's own T1w, whose protocol is not stated, is one
more session without a sidecar. Sessions for testing have all contrasts, and their true maps in ``truth``: PD (%), T1 and T2 (ms), and the
rows of the tissue table.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table

from .oasis3 import Oasis3Scan, header_of, oasis3_rows, oasis3_scans
from .paper_equations import as_published
from .standard_acquisition import known_head

SPLITS = ("train", "test")
OWN = "ses-own"
"""The session of a person's own T1w."""
_HEADS: Mapping[str, Sequence[int]] = {"train": range(1, 15), "test": (16, 17)}
"""Head 15 is left for model selection on label maps."""
TEST_EVERY = 6
"""People whose number is a multiple of it are for testing only."""
_SUFFIX = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}
_UNIT, _SESSION_SPREAD, _GAIN_SPREAD = 1000.0, 0.2, 0.1
"""Grey values of signal 1, and SDs of the logarithms of a session's gain and of each image's."""
_WHITE = [tissue.name for tissue in tissue_table()].index("white_matter")
_FASTEST = 1
"""Level of the compression."""


@dataclass(frozen=True)
class AnatomyFile:
    """A label map with FreeSurfer's numbers; ``own`` is the scan it was drawn from, or None."""

    name: str
    labels: Path
    own: Path | None = None


def anatomies(data: Path, split: str) -> list[AnatomyFile]:
    """The people and heads of a ``split`` in a data folder. Raises PhysMRISynthError when there are none."""
    people = sorted((data / "people").glob("person_*_labels.nii.gz"))
    chosen = [path for path in people if (int(path.name.split("_")[1]) % TEST_EVERY == 0) == (split == "test")]
    found = [AnatomyFile(f"person{path.name.split('_')[1]}", path, _scan_of(path)) for path in chosen]
    heads = (data / "head_labels" / f"head_{number:02d}.nii.gz" for number in _HEADS[split])
    found += [AnatomyFile(path.name.split(".")[0].replace("_", ""), path) for path in heads if path.is_file()]
    if not found:
        raise PhysMRISynthError(f"{data} has no label maps to simulate: neither people/ nor head_labels/. Check the path.")
    return found


def _scan_of(labels: Path) -> Path | None:
    scan = labels.with_name(labels.name.replace("_labels", "_t1w"))
    return scan if scan.is_file() else None


def write_oasis3(
    data: Path, out: Path, split: str = "train", sessions: int = 2, seed: int = 0, subjects: Sequence[str] = (),
    progress: Callable[[str], None] = lambda line: None,
) -> int:  # fmt: skip
    """Write the ``sessions`` of each subject of a ``split`` that ``out`` lacks (all ``subjects``, or those named, as person01 or head16);
    returns how many are there. Complete sessions are left as they are: an interrupted run goes on.

    Raises PhysMRISynthError for a subject that the split has not, or when there is no data.
    """
    found = {anatomy.name: anatomy for anatomy in anatomies(data, split)}
    if unknown := sorted(set(subjects) - set(found)):
        raise PhysMRISynthError(f"The split '{split}' has no {', '.join(unknown)}. It has {', '.join(found)}.")
    chosen = [found[name] for name in subjects] or list(found.values())
    for done, anatomy in enumerate(chosen, start=1):
        progress(f"simulating {anatomy.name}: subject {done} of {len(chosen)}")
        _write_subject(anatomy, out, split, sessions, seed)
    return sum(1 for anatomy in chosen for _path in out.glob(f"sub-{anatomy.name}/ses-*"))


def _write_subject(anatomy: AnatomyFile, out: Path, split: str, sessions: int, seed: int) -> None:
    folder = out / f"sub-{anatomy.name}"
    if anatomy.own is not None and not (folder / OWN).exists():
        with _Whole(folder / OWN) as part:
            shutil.copyfile(anatomy.own, part / "anat" / f"sub-{anatomy.name}_{OWN}_T1w.nii.gz")
    names = [f"ses-d{number:04d}" for number in range(1, sessions + 1)]
    missing = [(number, name) for number, name in enumerate(names) if not (folder / name).exists()]
    if not missing:
        return
    code = [seed, *anatomy.name.encode()]
    head = known_head(_cropped(sitk.ReadImage(str(anatomy.labels))), np.random.default_rng(code))
    for number, name in missing:
        rng = np.random.default_rng([*code, number + 1])
        given = _given(rng) if split == "train" else set(ROLES)
        scans = oasis3_scans(head, rng)
        with _Whole(folder / name) as part:
            for role, gain in zip(ROLES, gains([*code, number + 1]), strict=True):
                if role in given:
                    bright = gain * white_matter_signal(head, scans[role].as_run)
                    _write_scan(part / "anat" / f"sub-{anatomy.name}_{name}_{_SUFFIX[role]}", scans[role], head, bright)
            if split == "test":
                _write_truth(part / "truth", head)


def _given(rng: np.random.Generator) -> set[str]:
    """The contrasts of a session: a T1w, and the others by the table's numbers of scans."""
    counts = {role: sum(row.scans for row in oasis3_rows() if row.role == role) for role in ROLES}
    return {role for role in ROLES if rng.random() < counts[role] / counts["t1w"]}


def _cropped(labels: sitk.Image) -> sitk.Image:
    """The part of a label map with a head, and a margin of air."""
    margin = 8
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(labels > 0, sitk.sitkUInt8))
    box = shape.GetBoundingBox(1)
    first = [max(0, start - margin) for start in box[:3]]
    end = [min(n, start + size + margin) for n, start, size in zip(labels.GetSize(), box[:3], box[3:], strict=True)]
    return labels[tuple(slice(a, b) for a, b in zip(first, end, strict=True))]


def gains(code: Sequence[int]) -> np.ndarray:
    """The gain of each contrast of a session, from the numbers that identify it."""
    session, *images = np.random.default_rng([*code, len(ROLES)]).normal(0.0, [_SESSION_SPREAD, *[_GAIN_SPREAD] * len(ROLES)])
    return _UNIT * np.exp(session + np.array(images))


def white_matter_signal(head: KnownHead, protocol: Protocol) -> float:
    """Signal of a head's white matter by the paper's equation of a protocol."""
    white = head.tissue == _WHITE
    return float(
        np.abs(as_published(protocol).signal(*(np.median(values[white]) for values in (head.maps.pd, head.maps.t1, head.maps.t2))))
    )


def _write_scan(stem: Path, scan: Oasis3Scan, head: KnownHead, bright: float) -> None:
    """Write a scan with ``bright`` as the median of its white matter."""
    voxels = scan.input.volume.voxels
    image = sitk.GetImageFromArray(np.round(voxels * (bright / np.median(voxels[head.tissue == _WHITE]))).astype(np.int16))
    image.CopyInformation(head.maps.grid)
    _write(image, stem.with_name(f"{stem.name}.nii.gz"))
    stem.with_name(f"{stem.name}.json").write_text(json.dumps(header_of(scan.row)), encoding="utf-8")


def _write_truth(folder: Path, head: KnownHead) -> None:
    folder.mkdir()
    maps = head.maps
    for name, values in (("PDmap", 100.0 * maps.pd), ("T1map", maps.t1), ("T2map", maps.t2)):
        _write(maps.image(values.astype(np.float32)), folder / f"{name}.nii.gz")
    _write(maps.image(head.tissue.astype(np.uint8)), folder / "tissue.nii.gz")


def _write(image: sitk.Image, path: Path) -> None:
    sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=_FASTEST)


class _Whole:
    """A session's folder, there completely or not at all: written under a hidden name with an ``anat`` in it, then renamed."""

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, path.with_name(f".{path.name}")

    def __enter__(self) -> Path:
        shutil.rmtree(self.part, ignore_errors=True)
        (self.part / "anat").mkdir(parents=True)
        return self.part

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.part.rename(self.path)
        else:
            shutil.rmtree(self.part, ignore_errors=True)
