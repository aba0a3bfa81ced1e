"""Jobs and results between two processes: arrays as .npy files and a description as JSON, in a temporary folder of this user's own.

Files are read whole, on a thread of its own, and removed with the folder as soon as the job ends, rather than mapped into memory: patients'
images do not linger, and nothing depends on when the last array is let go (Windows cannot remove a mapped file).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError
from ...imaging.intake.acquisition import Acquisition
from ...imaging.intake.volumes import Volume
from ...imaging.tissue_maps import TissueMaps
from ...physics.protocol import Protocol
from ..estimation.order import EstimateOrder
from ..sampling.order import SampleOrder
from .jobs import EstimateJob, Job, Result

_JOB, _RESULT = "job", "result"
_DESCRIPTION = "description.json"


def new_folder() -> Path:
    """A temporary folder that only this user may look into, for one job."""
    return Path(tempfile.mkdtemp(prefix="PhysMRISynth-"))


def remove(folder: Path) -> None:
    """Remove a job's folder, or what can be removed of it."""
    shutil.rmtree(folder, ignore_errors=True)


def write_job(job: Job, folder: Path) -> None:
    """Write a job into its ``folder``. Raises OSError when there is no room."""
    arrays: dict[str, np.ndarray] = {}
    if isinstance(job, SampleOrder):
        told: dict[str, Any] = {"kind": "sample", "order": job.as_json()}
    else:
        given = [_acquisition_fields(acquisition) for acquisition in job.acquisitions]
        told = {"kind": "estimate", "acquisitions": given, "order": job.order.as_json()}
        arrays = {f"acquisition {n}": sitk.GetArrayViewFromImage(a.volume.image) for n, a in enumerate(job.acquisitions)}
        arrays |= {f"missing {n}": a.volume.missing for n, a in enumerate(job.acquisitions) if a.volume.missing is not None}
    _write(folder / _JOB, told, arrays)


def read_job(folder: Path) -> Job:
    """Read a job back, its images voxel by voxel and their geometry bit by bit. Raises ImageError when it is damaged."""
    told, arrays = _read(folder / _JOB)
    with _damage_named(folder):
        if told["kind"] == "sample":
            return SampleOrder.from_json(told["order"])
        stated = enumerate(told["acquisitions"])
        given = [_acquisition(fields, arrays[f"acquisition {n}"], arrays.get(f"missing {n}")) for n, fields in stated]
        return EstimateJob(given, EstimateOrder.from_json(told["order"]))


def write_result(result: Result, folder: Path, number: int = 0) -> None:
    """Write result ``number`` into the job's ``folder``: it is there whole or not at all. Raises OSError when there is no room."""
    maps = result.maps
    sets = {"fits": result.fits, "residuals": result.residuals, "sd": dict(maps.sd)}
    arrays = {"pd": maps.pd, "t1": maps.t1, "t2": maps.t2, "mask": maps.mask, "tissue": result.tissue, "brain": result.brain}
    arrays |= {f"{kind} {name}": array for kind, group in sets.items() for name, array in group.items()}
    arrays |= {"fluid_fraction": maps.fluid_fraction} if maps.fluid_fraction is not None else {}
    told = {"geometry": _geometry(maps.grid), "provenance": dict(maps.provenance), "report": result.report, "fluid": maps.fluid}
    _write(_result_folder(folder, number), told | {kind: list(group) for kind, group in sets.items()}, arrays)


def _result_folder(folder: Path, number: int) -> Path:
    return folder / (f"{_RESULT}-{number}" if number else _RESULT)


def read_results(folder: Path) -> tuple[Result, ...]:
    """Read all results of a job back, in their order. Raises ImageError when one is damaged or there is none."""
    others = takewhile(lambda number: _result_folder(folder, number).exists(), count(1))
    return (read_result(folder), *(read_result(folder, number) for number in others))


def read_result(folder: Path, number: int = 0) -> Result:
    """Read a result back. Raises ImageError when it is damaged."""
    told, arrays = _read(_result_folder(folder, number))
    with _damage_named(folder):
        grid = _grid(told["geometry"])
        wrong = [name for name, array in arrays.items() if array.shape != grid.GetSize()[::-1]]
        if wrong:
            raise ValueError(f"{wrong[0]} is of another shape than the maps")
        sets = {kind: {name: arrays[f"{kind} {name}"] for name in told[kind]} for kind in ("fits", "residuals", "sd")}
        pd, t1, t2, mask = (arrays[name] for name in ("pd", "t1", "t2", "mask"))
        fluid = tuple(told["fluid"]) if told["fluid"] else None
        maps = TissueMaps(pd, t1, t2, mask, grid, sets["sd"], told["provenance"], arrays.get("fluid_fraction"), fluid)
        return Result(maps, sets["fits"], sets["residuals"], arrays["tissue"], arrays["brain"], told["report"])


def _write(folder: Path, told: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Names of arrays, which may be anything, stay out of the file system."""
    partial = folder.with_suffix(".partial")
    partial.mkdir()
    for n, array in enumerate(arrays.values()):
        np.save(partial / f"{n}.npy", array, allow_pickle=False)
    (partial / _DESCRIPTION).write_text(json.dumps({"told": told, "arrays": list(arrays)}), encoding="utf-8")
    partial.replace(folder)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with _damage_named(folder):
        described = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"), parse_constant=lambda name: None)  # NaN is no value
        return described["told"], {name: np.load(folder / f"{n}.npy", allow_pickle=False) for n, name in enumerate(described["arrays"])}


@contextlib.contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:  # of JSON, NumPy and ITK
        raise ImageError(f"What was handed over in {folder} is damaged ({error}). Check the free space there, and start again.") from error


def _acquisition_fields(acquisition: Acquisition) -> dict[str, Any]:
    volume = acquisition.volume
    return {
        "name": acquisition.name,
        "conventional_echo_time": acquisition.conventional_echo_time,
        "field_strength": acquisition.field_strength,
        "slice_thickness_mm": acquisition.slice_thickness_mm,
        "geometry": _geometry(volume.image),
        "path": None if volume.path is None else str(volume.path),
        "notes": list(volume.notes),
        "protocol": acquisition.protocol.as_json(),
    }


def _acquisition(fields: Mapping[str, Any], voxels: np.ndarray, missing: np.ndarray | None) -> Acquisition:
    image = sitk.GetImageFromArray(voxels)
    _place(image, fields["geometry"])
    path = fields["path"]
    volume = Volume(image, None if path is None else Path(path), tuple(fields["notes"]), missing)
    protocol = Protocol.from_json(fields["protocol"])
    stated = (fields[name] for name in ("conventional_echo_time", "field_strength", "slice_thickness_mm"))
    return Acquisition(fields["name"], volume, protocol, *stated)


def _geometry(image: sitk.Image) -> dict[str, Any]:
    """JSON writes the shortest decimals that read back as the same numbers."""
    return {"size": image.GetSize(), "spacing": image.GetSpacing(), "origin": image.GetOrigin(), "direction": image.GetDirection()}


def _grid(geometry: Mapping[str, Any]) -> sitk.Image:
    grid = sitk.Image([int(n) for n in geometry["size"]], sitk.sitkUInt8)
    _place(grid, geometry)
    return grid


def _place(image: sitk.Image, geometry: Mapping[str, Any]) -> None:
    image.SetSpacing(geometry["spacing"])
    image.SetOrigin(geometry["origin"])
    image.SetDirection(geometry["direction"])
