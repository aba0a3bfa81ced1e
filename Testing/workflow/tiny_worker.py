"""Jobs that take no time: their images and results, and a child process (this file as a program) that does what a seed asks for."""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import Volume
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.worker import child, exchange
from PhysMRISynthLib.workflow.worker.jobs import Result

COMMAND = [sys.executable, str(Path(__file__).resolve())]
SHAPE = (4, 5, 6)
STAGES = ("align", "fit voxels")


def oblique(pixels: int = sitk.sitkFloat32) -> sitk.Image:
    """A grid whose numbers have no short decimals."""
    image = sitk.Image(SHAPE[::-1], pixels)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.1, -0.2, 1 / 3)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing((1 / 3, 0.7, 1.1))
    image.SetOrigin((-np.pi, 1e-7, 100 / 7))
    return image


def tiny_result(seed: int = 0) -> Result:
    rng = np.random.default_rng(seed)
    pd, t1, t2, fit, rest, share = rng.uniform(0.1, 1.0, (6, *SHAPE)).astype(np.float32)
    grid, mask = oblique(sitk.sitkUInt8), rng.uniform(size=SHAPE) > 0.5
    report = {"reference": "t1w", "seconds": {"align": 0.1}, "warnings": ["±"]}
    maps = TissueMaps(pd, t1, t2, mask, grid, {"T1": t2}, report, share, (1.0, 4300.0, 2000.5))
    return Result(maps, {"t1 w/é": fit}, {"t1 w/é": rest}, np.full(SHAPE, seed, np.uint8), ~mask, report)


def tiny_acquisition(name: str = "t1w") -> Acquisition:
    image = oblique()
    for n in range(image.GetNumberOfPixels()):
        image[n % 6, n // 6 % 5, n // 30] = n / 7
    protocol = Protocol.of("flair", "sidecar ä.json", TR=9000.1, TI=1 / 3 * 7500).changed("typed", "A note.", TE=90)
    return Acquisition(name, Volume(image, Path("/somewhere/a scan.nii.gz"), ("mended",)), protocol, 90.5, 2.89)


def _finish(folder: Path, report: child.Report, seed: int = 0) -> None:
    for stage in STAGES:
        report(stage, 0.5)
    exchange.write_result(tiny_result(seed), folder)


def _listen(folder: Path, report: child.Report) -> None:
    while True:
        report("fit voxels", 0.1)
        time.sleep(0.01)


def _sleep(folder: Path, report: child.Report) -> None:
    report("align", 0.0)
    time.sleep(60.0)


def _die(folder: Path, report: child.Report) -> None:
    report("align", 0.0)
    os._exit(3)


def _fault(folder: Path, report: child.Report) -> None:
    ctypes.string_at(0)


def _exhaust(folder: Path, report: child.Report) -> None:
    raise MemoryError("Unable to allocate 3 TiB")


def _miss(folder: Path, report: child.Report) -> None:
    import nowhere_to_be_found  # noqa: F401


def _err(folder: Path, report: child.Report) -> None:
    raise KeyError("secret detail")


def _chatter(folder: Path, report: child.Report) -> None:
    print('{"event": "failed", "id": 1, "message": "spoofed", "kind": "input"}')
    sys.stdout.flush()
    os.write(1, b"written below Python\n")
    _finish(folder, report)


def _look(folder: Path, report: child.Report) -> None:
    """As native libraries do when they are loaded; on Windows they wait while a pipe is read."""
    if stat.S_ISFIFO(os.fstat(0).st_mode) or sys.stdin.read():
        raise OSError("the standard input is the pipe that the worker listens to")
    _finish(folder, report)


BEHAVIOURS: dict[str, Callable[[Path, child.Report], None]] = {
    f.__name__.strip("_"): f for f in (_finish, _listen, _sleep, _die, _fault, _exhaust, _miss, _err, _chatter, _look)
}


def job(behaviour: str) -> SampleOrder:
    """What makes the tiny child behave like that."""
    return SampleOrder(list(BEHAVIOURS).index(behaviour))


def _behave(folder: Path, report: child.Report) -> None:
    asked = exchange.read_job(folder)
    assert isinstance(asked, SampleOrder)
    list(BEHAVIOURS.values())[asked.seed](folder, report)


if __name__ == "__main__":
    child.main({"sample": _behave})
