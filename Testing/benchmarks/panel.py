"""What the panel does on Slicer's main thread, step by step: the longest wait of each, against the plain NumPy expression over the volume.

Without windows: what Slicer's own widgets and renderers add is not in it. ``--shape 256 256 256`` for another size.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from render import SHAPE, _plain

sys.path.insert(0, str(Path(__file__).parents[2]))
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.mrml.estimation import Inputs, WorkerRun, estimateJob
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.preview import Preview
from PhysMRISynthLib.mrml.statistics import updateHistogramPlot, updateStatisticsTable
from PhysMRISynthLib.physics.presets import load_presets
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.rendering.live import Noise
from PhysMRISynthLib.workflow.worker.jobs import Finished, Result
from Testing.mrml.scene import HeadlessSlicer, headless_slicer, scalar_volume

ROLES = ("t1w", "t2w", "flair")
PROTOCOLS = {role: load_presets()[f"oasis3-{role}"].protocol for role in ROLES}
REPEATS, TICKS = 3, 60
FRAME = 0.05
"""Seconds after which the panel lets Slicer go on between the steps of a rendering."""


class _Client:
    """A worker that is done at once."""

    def __init__(self, result: Result) -> None:
        self._told: list[Any] = [Finished(result)]

    def start(self, job: object) -> None:
        pass

    def poll(self) -> list[Any]:
        told, self._told = self._told, []
        return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE)
    shape = tuple(parser.parse_args().shape)
    result, inputs = _result(shape), _inputs(shape)
    plain = min(_timed(lambda: _plain(result.maps.pd, result.maps.t1 + 1, result.maps.t2 + 1)) for _ in range(REPEATS))
    longest: dict[str, float] = {}
    for _ in range(REPEATS):  # every round on a scene of its own
        with headless_slicer() as headless:
            for step, seconds in _round(headless, result, inputs).items():
                longest[step] = min(seconds, longest.get(step, np.inf))
    size = "x".join(map(str, shape))
    for step, seconds in longest.items():
        print(f"panel {size}, {step}: {seconds:.3f} s, {seconds / plain:.2f} x plain NumPy expression over the volume", flush=True)
    for name, (median, slow, own) in _ticks(result).items():
        times = f"median {1000 * median:.1f} ms, 95th percentile {1000 * slow:.1f} ms, {1000 * own:.1f} ms of CPU"
        print(f"panel {size}, tick of {name}, three slices: {times}, {median / plain:.3f} x plain NumPy expression", flush=True)


def _round(headless: HeadlessSlicer, result: Result, inputs: dict[str, np.ndarray]) -> dict[str, float]:
    """The longest time that each step holds the main thread, in seconds."""
    nodes = {role: scalar_volume(voxels, name=role) for role, voxels in inputs.items()}
    found = {"Apply (three inputs)": _timed(lambda: estimateJob(Inputs(nodes, EstimateOrder(prior="literature", device="cpu"))))}
    run = WorkerRun(_Client(result), None, nodes)  # type: ignore[arg-type]
    found["one turn of making the nodes"] = max(_timed(run.poll) for _ in _while(lambda: run.busy))
    maps = TissueMapNodes.wrap(run.mapsNode)
    preview, (mprage, flair) = Preview(maps), (load_presets()["synthetic-t1w"].protocol, load_presets()["synthetic-flair"].protocol)
    found["first preview"] = _rendering(headless, preview, flair, None)
    found["a preset"] = _rendering(headless, preview, mprage, None)
    found["noise of a new seed"] = _rendering(headless, preview, mprage, Noise(30.0, 1))
    found["Keep"] = _timed(preview.keep)
    found["Table"] = _timed(lambda: updateStatisticsTable(maps))
    found["T1 histogram"] = _timed(lambda: updateHistogramPlot(maps))
    return found


def _ticks(result: Result) -> dict[str, tuple[float, float, float]]:
    """What follows a move of a slider, the voxels that three views show, by sequence: median and 95th percentile of the time, and median of
    the CPU's time, which other programs do not stretch (s)."""
    with headless_slicer() as headless:
        preview = Preview(TissueMapNodes.create(result, None, {}, headless.scene))
        preview.begin(Protocol.of("flair"))
        headless.show(preview.node)
        return {name: _tick(preview, Protocol.of(name)) for name in SEQUENCES}


def _tick(preview: Preview, protocol: Protocol) -> tuple[float, float, float]:
    name = next(name for name in ("TI2", "TI", "FA", "TE") if name in protocol.values)
    times = []
    for step in range(TICKS):
        moved = protocol.changed("slider", **{name: protocol.values[name] * (1.0 + 0.0005 * step)})
        own = time.process_time()
        times.append((_timed(lambda moved=moved: preview.showRegion(moved)), time.process_time() - own))
    wall, cpu = np.array(times).T
    return float(np.median(wall)), float(np.percentile(wall, 95)), float(np.median(cpu))


def _rendering(headless: HeadlessSlicer, preview: Preview, protocol: Any, noise: Noise | None) -> float:
    """As the panel: what is shown at once, the rest in turns of :data:`FRAME`, and the window."""
    turns = [_timed(lambda: _shown(headless, preview, protocol, noise))]
    steps = preview.steps(protocol, noise)
    while True:
        start, done = time.perf_counter(), True
        for _ in steps:
            if time.perf_counter() - start >= FRAME:
                done = False
                break
        turns.append(time.perf_counter() - start)
        if done:
            return max(turns)


def _shown(headless: HeadlessSlicer, preview: Preview, protocol: Any, noise: Noise | None) -> None:
    if preview.node is None:
        preview.begin(protocol, noise)
        headless.show(preview.node)
    if preview.ready(noise):
        preview.showRegion(protocol, noise)
        preview.resetWindow()


def _while(going: Callable[[], bool]) -> Iterator[None]:
    while going():
        yield


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _result(shape: tuple[int, ...]) -> Result:
    """A head of shells of every tissue, with three inputs' fits."""
    axes = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in shape), indexing="ij", sparse=True)
    radius = np.sqrt(sum((axis / 0.95) ** 2 for axis in axes))
    mask = radius < 1.0
    tissue = np.where(mask, np.minimum(radius * len(tissue_table()), len(tissue_table()) - 1), 255).astype(np.uint8)
    rng = np.random.default_rng(0)
    values = np.exp([entry.theta for entry in tissue_table()])
    spread = (np.where(mask, values[np.where(mask, tissue, 0), n] * rng.uniform(0.9, 1.1, shape), 0.0) for n in range(3))
    pd, t1, t2 = (array.astype(np.float32) for array in spread)
    sd = {"PD": 0.03 * pd, "T1": 0.05 * t1, "T2": 0.06 * t2}
    share = np.where(mask, rng.uniform(0.0, 0.2, shape), 0.0).astype(np.float32)
    maps = TissueMaps(pd, t1, t2, mask, sitk.Image(shape[::-1], sitk.sitkUInt8), sd, {}, share, (1.0, 4300.0, 2000.0))
    fits = dict.fromkeys(ROLES, 800.0 * pd)
    residuals = {role: np.where(mask, rng.standard_normal(shape, dtype=np.float32), np.float32(0.0)) for role in ROLES}
    fluid = {"PD_percent": 100.0, "T1_ms": 4300.0, "T2_ms": 2000.0}
    report = {"reference": "t1w", "field_strength_tesla": 3.0, "warnings": [], "inputs": {}, "fluid": fluid}
    return Result(maps, fits, residuals, tissue, mask & (radius < 0.8), report)


def _inputs(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """As scanners store them: 16-bit integers."""
    return {role: np.random.default_rng(n).integers(0, 1000, shape, dtype=np.int16) for n, role in enumerate(ROLES)}


if __name__ == "__main__":
    main()
