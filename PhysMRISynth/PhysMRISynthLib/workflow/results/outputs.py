"""Writing an estimate: a folder that appears whole or not at all."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError, Remedy
from ...imaging.intake.acquisition import Acquisition
from ...imaging.intake.sidecar import sidecar_fields, sidecar_path
from ...imaging.intake.volumes import check_name, write_image
from ...imaging.map_files import find_map_files
from ...imaging.tissue_maps import TissueMaps
from ...physics.protocol import Protocol
from ...physics.tissues import PROPERTIES
from ...whole_file import TEMPORARY
from ..estimation.estimate import Estimate
from ..estimation.unfamiliar import FILE as UNFAMILIAR
from ..rendering.rendered import Rendering
from .html_report import write_pages
from .report import estimate_report
from .tissue_output import TISSUES, estimated_labels, write_labels

REPORT = "report.json"
_OTHER_VOLUMES = {"fluid_fraction.nii.gz", "mask.nii.gz", f"{TISSUES}.nii.gz", UNFAMILIAR}
"""Of an estimate, beside maps, SDs and fits."""
_LEFTOVER_SECONDS = 86_400.0
_LOCK_SECONDS = 10.0
"""Longer than any run needs to move its files: a lock that is older was left by one that was killed."""
_WRITERS = 2
SYNTHETIC = "Synthetic: rendered from tissue maps by a signal equation. Not for diagnosis."
"""What the sidecar of a rendered image says."""


@contextmanager
def whole_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder whose files move into ``out`` at the end; an error before that leaves ``out`` as it was.

    When the new files hold a report, what an earlier report lists as written by its run goes, so that two runs are never mixed; nothing
    else is touched. The report goes first and comes last: a folder that holds one holds all of its run, whenever the process is killed.

    Raises ImageError when ``out`` is a file, holds files at the beginning or at the end and ``overwrite`` is False, or cannot be written.
    """
    out = Path(out)
    check_free(out, overwrite)
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=TEMPORARY) as name:
            yield Path(name)
            with _alone(out):
                if is_taken(out) and not overwrite:  # it was free when this run began
                    raise ImageError(f"Another run has written into {out} meanwhile; its files were kept.", Remedy.CHOOSE_OUTPUT)
                _move_into(out, sorted(Path(name).iterdir(), key=lambda file: (file.name == REPORT, file.name)))
        _remove_leftovers(out)
    except BaseException as error:
        for folder in created:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError):
            raise ImageError(f"{out} could not be written ({error.strerror or error}). Check free space and permissions.") from error
        raise


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Wait until no other run moves its files into a folder. Raises OSError."""
    lock, end = out / f"{TEMPORARY}lock", time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            lock.mkdir()
            break
        except FileExistsError:
            if time.monotonic() > end:  # one that was killed has left it
                break
            time.sleep(0.02)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.rmdir()


def _move_into(out: Path, written: Sequence[Path]) -> None:
    """Give the files that were written their place in ``out``, the report last."""
    names = {file.name for file in written}
    for name in sorted(names):
        if (out / name).is_dir():
            raise ImageError(f"{out / name} is a folder where a file is to be written.", Remedy.CHOOSE_OUTPUT)
    if REPORT in names:
        for old in sorted((_earlier_files(out) - names) | {REPORT}):
            (out / old).unlink(missing_ok=True)
    for file in written:
        file.replace(out / file.name)


def _remove_leftovers(out: Path) -> None:
    """Remove what runs that were killed have left half-written; younger ones may belong to a run that goes on."""
    for folder in out.glob(f"{TEMPORARY}*"):
        if folder.is_dir() and time.time() - folder.stat().st_mtime > _LEFTOVER_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _earlier_files(out: Path) -> set[str]:
    """Names of the files in a folder that its report lists as its own (none where there is no report that can be read)."""
    if not (out / REPORT).is_file():
        return set()
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
            raise ImageError(f"{path} is an input and would be overwritten by the results.", Remedy.CHOOSE_OUTPUT)


def check_maps_survive(maps: Path, out: Path) -> None:
    """Raise ImageError when the file ``out`` is one of the results in the folder ``maps`` that it is made from."""
    if Path(out).resolve().parent != Path(maps).resolve():
        return
    if out.name in {path.name for path in find_map_files(maps).paths()} | _earlier_files(maps):
        raise ImageError(f"{out} is one of the maps.", Remedy.CHOOSE_OUTPUT)


def check_apart(out: Path, sources: Iterable[Path]) -> None:
    """Raise ImageError when the folder ``out`` is one of the folders that its results are made from."""
    for source in sources:
        if Path(out).resolve() == Path(source).resolve():
            raise ImageError(f"{out} holds the maps that are to be used.", Remedy.CHOOSE_OUTPUT)


def is_taken(out: Path) -> bool:
    """Whether something is there already; in a folder, what killed runs have left half-written does not count."""
    if out.is_dir():
        return any(not file.name.startswith(TEMPORARY) for file in out.iterdir())
    return out.exists() or out.is_symlink()


def check_free(out: Path, overwrite: bool) -> None:
    """Raise ImageError when the output exists and may not be overwritten (a folder counts as existing when it holds anything but what
    killed runs have left half-written)."""
    out = Path(out)
    check_name(out)
    if is_taken(out) and not overwrite:
        raise ImageError(f"{out} exists already.", Remedy.CHOOSE_OUTPUT, Remedy.OVERWRITE)
    nearest = next((folder for folder in out.absolute().parents if folder.exists()), None)
    if nearest is not None and not nearest.is_dir():
        raise ImageError(f"{nearest} is a file, not a folder.", Remedy.CHOOSE_OUTPUT)


def check_inputs_survive(acquisitions: Sequence[Acquisition], out: Path) -> None:
    """Raise ImageError, before the work, when an estimate's results in the folder ``out`` would replace one of its inputs, or remove it
    with those of an earlier run."""
    names = {f"{name}{kind}.nii.gz" for name in PROPERTIES for kind in ("", "_sd")} | {f"fit_{a.name}.nii.gz" for a in acquisitions}
    _check_inputs_survive(acquisitions, out, names | _OTHER_VOLUMES | _earlier_files(Path(out)))


def write_estimate(estimate: Estimate, out: Path, overwrite: bool = False) -> None:
    """Write maps, SDs, mask, fits, and the report (JSON, HTML, PDF, PNG) into the folder ``out``, all or nothing."""
    with whole_folder(out, overwrite) as folder:
        with _meanwhile([partial(_write_estimated_labels, estimate, folder), *_writers(_volumes(estimate), folder)]):
            report = estimate_report(estimate)
            write_pages(estimate, report, folder)
        _write_report(report, estimate.acquisitions, folder, out)


def save_estimate(estimate: Estimate, folder: Path) -> None:
    """The files of :func:`write_estimate` into an existing folder, all but the report."""
    with writing(_volumes(estimate), folder):
        _write_estimated_labels(estimate, folder)


def _write_estimated_labels(estimate: Estimate, folder: Path) -> None:
    write_labels(estimated_labels(estimate), folder)


def _volumes(estimate: Estimate) -> dict[str, sitk.Image]:
    """The images of an estimate by file name."""
    images = estimate.maps.files() | {f"fit_{name}.nii.gz": estimate.maps.image(fit) for name, fit in estimate.fits.items()}
    if estimate.unfamiliar is not None:
        images[UNFAMILIAR] = estimate.maps.image(estimate.unfamiliar.astype(np.uint8))
    return images


@contextmanager
def writing(images: Mapping[str, sitk.Image], folder: Path) -> Iterator[None]:
    """Write images into an existing folder on other threads while the block works: compression leaves the interpreter free.

    Raises ImageError at the end of the block when one could not be written.
    """
    with _meanwhile(_writers(images, folder)):
        yield


def _writers(images: Mapping[str, sitk.Image], folder: Path) -> list[Callable[[], None]]:
    return [partial(write_image, image, folder / name) for name, image in images.items()]


@contextmanager
def _meanwhile(works: Iterable[Callable[[], None]]) -> Iterator[None]:
    """Do the ``works`` on other threads while the block works; their errors reach its end."""
    with ThreadPoolExecutor(_WRITERS) as pool:
        begun = [pool.submit(work) for work in works]
        yield
        for one in begun:
            one.result()


def write_report(estimate: Estimate, folder: Path, out: Path) -> None:
    """Write the report (JSON, HTML, PDF, PNG) beside the files of a result in ``folder``, which it lists and which are to go to ``out``."""
    report = estimate_report(estimate)
    write_pages(estimate, report, folder)
    _write_report(report, estimate.acquisitions, folder, out)


def _write_report(report: Mapping[str, Any], acquisitions: Sequence[Acquisition], folder: Path, out: Path) -> None:
    names = sorted([REPORT, *(file.name for file in folder.iterdir())])
    _check_inputs_survive(acquisitions, out, names)
    write_json({**report, "files": names}, folder / REPORT)


def write_simulation(
    maps: TissueMaps, images: Mapping[str, np.ndarray], protocols: Mapping[str, Protocol], out: Path, overwrite: bool = False
) -> None:
    """Write simulated images with BIDS sidecars (seconds) that ``estimate`` reads back, all or nothing."""
    with whole_folder(out, overwrite) as folder:
        for name, voxels in images.items():
            write_image(maps.image(voxels), folder / f"{name}.nii.gz")
            write_json(sidecar_fields(protocols[name]), folder / f"{name}.json")


def check_rendering(maps: Path | None, out: Path, overwrite: bool) -> None:
    """Raise ImageError when a rendering of the maps in a folder (None: in memory) cannot become the file ``out`` with its sidecar."""
    for file in (out, sidecar_path(out)):
        check_free(file, overwrite)
        if maps is not None:
            check_maps_survive(maps, file)
    if sidecar_path(out).name == REPORT:
        raise ImageError(f"The sidecar of {out.name} would be {REPORT}, which describes a folder of maps.", Remedy.CHOOSE_OUTPUT)


def write_rendering(rendering: Rendering, out: Path) -> None:
    """Write a ``rendering`` of maps and its sidecar."""
    with whole_folder(out.parent, overwrite=True) as folder:
        write_image(rendering.image, folder / out.name)
        write_json(rendering_fields(rendering), folder / sidecar_path(out).name)


def rendering_fields(rendering: Rendering) -> dict[str, Any]:
    """What a sidecar says of a rendering: that it is synthetic, the protocol in BIDS' fields (seconds), noise and scanner effects."""
    order = rendering.order
    noise = {} if order.snr is None else {"SNR": order.snr}
    seed = {} if order.snr is None and not order.effects.any else {"Seed": order.seed}
    effects = f" Simulated scanner effects: {order.effects.title}." if order.effects.any else ""
    return {"Description": SYNTHETIC + effects, **sidecar_fields(rendering.protocol), **noise, **order.effects.sidecar(), **seed}


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
