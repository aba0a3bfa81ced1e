"""Writing an estimate: a folder that appears whole or not at all."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..imaging.acquisition import Acquisition
from ..imaging.sidecar import sidecar_fields
from ..imaging.tissue_maps import TissueMaps
from ..imaging.volumes import write_image
from ..physics.protocol import Protocol
from .estimate import Estimate
from .figure import write_figure
from .report import estimate_report

REPORT = "report.json"


@contextmanager
def whole_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder whose files move into ``out`` at the end; an error before that leaves ``out`` as it was.

    When the new files hold a report, what an earlier report lists as written by its run goes, so that two runs are never mixed; nothing
    else is touched.

    Raises ImageError when ``out`` is a file, holds files and ``overwrite`` is False, or cannot be written.
    """
    out = Path(out)
    check_free(out, overwrite)
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".writing-") as name:
            yield Path(name)
            written = sorted(Path(name).iterdir())
            names = {file.name for file in written}
            for old in sorted(_earlier_files(out) - names) if REPORT in names else ():
                (out / old).unlink(missing_ok=True)
            for file in written:
                file.replace(out / file.name)
    except BaseException as error:
        for folder in created:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError):
            raise ImageError(f"{out} could not be written ({error.strerror or error}). Check free space and permissions.") from error
        raise


def _earlier_files(out: Path) -> set[str]:
    """Names of the files in a folder that its report lists as its own (none where there is no report that can be read)."""
    try:
        listed = json.loads((out / REPORT).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return set()
    names = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    return {name for name in names if name == Path(name).name and (out / name).is_file()}


def _check_inputs_survive(acquisitions: Sequence[Acquisition], out: Path, names: Iterable[str]) -> None:
    """Raise ImageError when a file that would be written is one of the inputs."""
    targets = {(Path(out) / name).resolve() for name in names}
    for acquisition in acquisitions:
        path = acquisition.volume.path
        if path is not None and Path(path).resolve() in targets:
            raise ImageError(f"{path} is an input and would be overwritten by the results. Choose another --out.")


def check_free(out: Path, overwrite: bool) -> None:
    """Raise ImageError when the output exists and may not be overwritten (a folder counts as existing when it holds anything)."""
    out = Path(out)
    taken = any(out.iterdir()) if out.is_dir() else out.exists()
    if taken and not overwrite:
        raise ImageError(f"{out} exists already. Choose another --out, or add --overwrite.")


def write_estimate(
    estimate: Estimate, acquisitions: Sequence[Acquisition], field_strength: float, out: Path, overwrite: bool = False
) -> None:
    """Write maps, SDs, mask, fits, ``report.json`` and ``report.png`` into the folder ``out``, all or nothing."""
    with whole_folder(out, overwrite) as folder:
        save_estimate(estimate, acquisitions, field_strength, folder)
        write_report(estimate, acquisitions, field_strength, folder, out)


def save_estimate(estimate: Estimate, acquisitions: Sequence[Acquisition], field_strength: float, folder: Path) -> None:
    """The files of :func:`write_estimate` into an existing folder, all but the report."""
    images = estimate.maps.files() | {f"fit_{name}.nii.gz": estimate.maps.image(fit) for name, fit in estimate.fits.items()}
    for name, image in images.items():
        write_image(image, folder / name)
    write_figure(estimate, field_strength, folder / "report.png")


def write_report(estimate: Estimate, acquisitions: Sequence[Acquisition], field_strength: float, folder: Path, out: Path) -> None:
    """Write ``report.json`` beside the files of a result in ``folder``, which it lists and which are to go to ``out``."""
    names = sorted([REPORT, *(file.name for file in folder.iterdir())])
    _check_inputs_survive(acquisitions, out, names)
    write_json({**estimate_report(estimate, acquisitions, field_strength), "files": names}, folder / REPORT)


def write_simulation(
    maps: TissueMaps, images: Mapping[str, np.ndarray], protocols: Mapping[str, Protocol], out: Path, overwrite: bool = False
) -> None:
    """Write simulated images with BIDS sidecars (seconds) that ``estimate`` reads back, all or nothing."""
    with whole_folder(out, overwrite) as folder:
        for name, voxels in images.items():
            write_image(maps.image(voxels), folder / f"{name}.nii.gz")
            write_json(sidecar_fields(protocols[name]), folder / f"{name}.json")


def write_json(values: Mapping[str, Any], path: Path) -> None:
    """Write JSON values; what is not finite becomes null."""
    path.write_text(json.dumps(finite(values), indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def finite(value: Any) -> Any:
    """JSON has no word for NaN and infinity: null stands for what could not be had."""
    if isinstance(value, Mapping):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
