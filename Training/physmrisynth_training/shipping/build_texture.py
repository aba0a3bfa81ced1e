"""Measure the texture of tissues in the training people's T1w images, for the texture of synthetic heads.

Run as ``python -m physmrisynth_training.shipping.build_texture --data DIR --out resources``, where DIR holds people with their T1w
images. It writes texture.nii.gz, what people have in common at a place of the atlas, and texture.json, the spread of the rest by scale.

The scans were interpolated, so their noise is not white. What white matter has within 4 mm is taken for noise, and whatever has the same
variogram in the other tissues, where there is more of it: texture as fine as the scans resolve cannot be distinguished from noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.tissue_texture import MEASURED, PLACE_UNIT

from ..simulator.oasis3_folder import anatomies
from ..simulator.standard_acquisition import PROTOCOLS
from .build_ventricles import on_grid, placed_labels, ventricle_grid
from .command_line import finish
from .person_texture import STRUCTURES, Residual, read_t1w, residuals
from .variogram import LAGS_MM, fitted, rise, squared_differences, variogram

WIDTHS_MM = (6.0, 12.0)
_NOISE_MM = 4.0
_SMOOTH_MM, _FEW = 2.5, 40.0
"""Fewer voxels of all people than this at a place of the atlas, and the common part there is less than half of what they have."""
_FIELD_STRENGTH = 3.0


@dataclass(frozen=True)
class Person:
    """Residuals by structure, and where their voxels lie in the reference grid: (n, 3; z, y, x)."""

    found: dict[int, Residual]
    places: dict[int, np.ndarray]


def read_person(labels: Path, grid: sitk.Image) -> Person:
    """Raises RegistrationError when the brain of the label map cannot be aligned with the atlas."""
    numbers, _coarse, to_head = placed_labels(labels)
    found = residuals(numbers, read_t1w(labels))
    image = sitk.DICOMOrient(sitk.ReadImage(str(labels)), "LPS")
    return Person(found, {number: _places(residual.voxels, image, to_head.GetInverse(), grid) for number, residual in found.items()})


def _places(voxels: np.ndarray, image: sitk.Image, to_atlas: sitk.Transform, grid: sitk.Image) -> np.ndarray:
    """Nearest voxels of ``grid`` by an affine transform, from where it takes four points."""

    def placed(point: Sequence[float]) -> np.ndarray:
        at = grid.TransformPhysicalPointToContinuousIndex(to_atlas.TransformPoint(image.TransformContinuousIndexToPhysicalPoint(point)))
        return np.array(at)

    origin = placed((0.0, 0.0, 0.0))
    matrix = np.stack([placed(axis) - origin for axis in np.eye(3).tolist()])
    index = np.rint(voxels[:, ::-1] @ matrix + origin).astype(int)
    return np.clip(index, 0, np.array(grid.GetSize()) - 1)[:, ::-1]


def common_part(people: Sequence[Person], numbers: Sequence[int], grid: sitk.Image) -> np.ndarray:
    """The mean residual (z, y, x) of some structures at each place of the grid, left-right symmetric, 0 where there are few people."""
    shape = grid.GetSize()[::-1]
    total, count = np.zeros(np.prod(shape)), np.zeros(np.prod(shape))
    for person in people:
        for number in set(numbers) & set(person.found):
            flat = np.ravel_multi_index(tuple(person.places[number].T), shape)
            total += np.bincount(flat, person.found[number].values, total.size)
            count += np.bincount(flat, minlength=total.size)
    total, count = (_smooth(sums.reshape(shape) + sums.reshape(shape)[..., ::-1], grid) for sums in (total, count))
    return total / (count + _FEW)


def _smooth(voxels: np.ndarray, grid: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(on_grid(grid, voxels.astype(np.float32)), _SMOOTH_MM))


def rest(people: Sequence[Person], numbers: Sequence[int], common: np.ndarray) -> tuple[np.ndarray, float]:
    """Variogram (lags,) of the residuals without the ``common`` part, and the variance of that part where they are."""
    sums, explained = np.zeros((2, len(LAGS_MM))), []
    for person in people:
        for number in set(numbers) & set(person.found):
            residual = person.found[number]
            known = common[tuple(person.places[number].T)].astype(np.float32)
            sums += squared_differences(residual.voxels, residual.values - known)
            explained.append((known.size, float(np.var(known))))
    sizes, variances = np.array(explained).T
    return variogram(sums), float(np.average(variances, weights=sizes))


def measured(people: Sequence[Person], common: Mapping[str, np.ndarray]) -> dict[str, dict]:
    """By tissue: variogram of the rest, SDs of T1w log intensity, shares of variance by width, and sensitivity to PD, T1 and T2."""
    found = {name: rest(people, STRUCTURES[name], part) for name, part in common.items()}
    noise = noise_shape(found["white_matter"][0])
    rows = {}
    for name, (seen, place) in found.items():
        parts, rough = fitted(seen, WIDTHS_MM, noise)
        rows[name] = {
            "variogram": seen,
            "noise": np.sqrt(rough),
            "place": np.sqrt(place),
            "rest": np.sqrt(parts.sum()),
            "shares": parts / max(parts.sum(), 1e-12),
            "sensitivity": sensitivity(name),
        }
    return rows


def noise_shape(white: np.ndarray) -> np.ndarray:
    """The variogram (lags,) of the scan's noise, 1 far away, from that of white matter: what its texture beyond 4 mm does not explain."""
    far = np.array(LAGS_MM) >= _NOISE_MM
    smooth, rough = fitted(white, WIDTHS_MM, np.where(far, 1.0, np.nan))
    explained = sum(variance * rise(width) for variance, width in zip(smooth, WIDTHS_MM, strict=True))
    return np.where(far, 1.0, (white - explained) / rough)


def sensitivity(tissue: str) -> np.ndarray:
    """Change of the log signal of a T1w image (MPRAGE) with log PD, log T1 and log T2, (3,)."""
    row = next(entry for entry in tissue_table(_FIELD_STRENGTH) if entry.name == tissue)
    steps = 0.01 * np.eye(3)
    higher, lower = (np.log(PROTOCOLS["t1w"].signal(*np.exp(row.theta[:, None] + sign * steps))) for sign in (1.0, -1.0))
    return (higher - lower) / 0.02


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds people")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two files")
    options = parser.parse_args(arguments)
    return finish(parser, lambda: _write(options.data, options.out))


def _write(data: Path, out: Path) -> None:
    grid = ventricle_grid()
    files = [anatomy.labels for anatomy in anatomies(data, "train") if anatomy.own is not None]
    people = [read_person(file, grid) for file in tqdm(files, desc="people", unit="person")]
    common = {name: common_part(people, STRUCTURES[name], grid) for name in MEASURED}
    stored = np.stack([np.clip(np.rint(part / PLACE_UNIT), -127, 127) for part in common.values()], axis=-1).astype(np.int8)
    image = sitk.GetImageFromArray(stored, isVector=True)
    image.CopyInformation(grid)
    sitk.WriteImage(image, str(out / "texture.nii.gz"), useCompression=True, compressionLevel=9)
    text = json.dumps(_resource(measured(people, common), len(people)), indent=1)
    (out / "texture.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def _resource(rows: Mapping[str, Mapping], count: int) -> dict:
    return {
        "about": "Texture within tissues in T1w images: log-SD in per cent of what people share at a place of the atlas (place_sd; "
        "texture.nii.gz) and of the rest (rest_sd), its shares of variance by width (mm; correlation 1/4 there), what is as fine as "
        "noise, which is part of neither (noise_sd), and the change of log T1w with log PD, T1 and T2 (sensitivity). variogram: of the "
        "rest with noise, in 0.0001, by distance.",
        "source": f"{count} training people of OpenNeuro ds002748 (CC0; Bezmaternykh et al.), T1w at 3 T; shipping/build_texture.py.",
        "widths_mm": list(WIDTHS_MM),
        "distances_mm": list(LAGS_MM),
        "tissues": {
            name: {
                "place_sd": round(100.0 * float(row["place"]), 2),
                "rest_sd": round(100.0 * float(row["rest"]), 2),
                "noise_sd": round(100.0 * float(row["noise"]), 2),
                "shares": np.round(row["shares"], 3).tolist(),
                "sensitivity": np.round(row["sensitivity"], 3).tolist(),
                "variogram": [None if np.isnan(value) else round(1e4 * float(value), 2) for value in row["variogram"]],
            }
            for name, row in rows.items()
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
