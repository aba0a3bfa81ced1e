"""Every stage of ``physmrisynth estimate`` from imports to written files, 160 x 224 x 160 voxels of 1 mm, three inputs, with the network.

    LABELS=labels.nii.gz BASELINE=/another/checkout python3 Testing/benchmarks/stages.py

With BASELINE, the path of another checkout of this repository, both take turns in processes of their own, so that both see the same
machine. CPU seconds are those of all threads: on a busy machine they tell more than the time that passes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PhysMRISynthLib.workflow.estimation.order import EstimateOrder

SHAPE = (160, 224, 160)
REPEATS = 2
_HERE = Path(__file__).resolve()


def main() -> None:
    """Print a line for each stage: CPU seconds, seconds that passed, and their ratios to the baseline's."""
    with tempfile.TemporaryDirectory() as folder:
        _write_inputs(Path(folder))
        checkouts = [_HERE.parents[2], *(Path(path) for path in [os.environ.get("BASELINE", "")] if path)]
        runs: list[list[dict]] = [[] for _ in checkouts]
        for _ in range(REPEATS):
            for checkout, found in zip(checkouts, runs, strict=True):
                found.append(_run(checkout, Path(folder)))
    ours, *baseline = ({stage: _least(one, stage) for stage in one[0]} for one in runs)
    for stage, (cpu, wall) in ours.items():
        before = baseline[0].get(stage) if baseline else None
        ratio = f", {cpu / max(before[0], 1e-3):.2f} and {wall / max(before[1], 1e-3):.2f} x baseline" if before else ""
        print(f"estimate, {stage}: {cpu:.2f}{' GB' if stage == 'peak memory' else f' CPU s, {wall:.2f} s'}{ratio}", flush=True)


def _least(runs: list[dict], stage: str) -> tuple[float, float]:
    cpu, wall = (min(run[stage][i] for run in runs) for i in (0, 1))
    return cpu, wall


def _write_inputs(folder: Path) -> None:
    """The three images of a simulated head, and the specification of each protocol."""
    import numpy as np
    import SimpleITK as sitk
    from _whole_head import simulated

    from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS, standard_acquisition

    images = standard_acquisition(simulated("stages", SHAPE).maps, np.random.default_rng(0))
    for name, image in images.items():
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"), useCompression=True)
    (folder / "protocols.json").write_text(json.dumps({name: PROTOCOLS[name].spec for name in images}), encoding="utf-8")


def _run(checkout: Path, folder: Path) -> dict:
    """Seconds (CPU, passed) of every stage of a process that uses the library of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "PhysMRISynth")}
    command = [sys.executable, str(_HERE), "--once", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _once(folder: Path) -> None:
    clock = _Clock("import")
    from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
    from PhysMRISynthLib.workflow.estimation.inputs import read_acquisitions
    from PhysMRISynthLib.workflow.results.outputs import write_estimate
    from PhysMRISynthLib.workflow.results.report import peak_memory_gb

    specs = json.loads((folder / "protocols.json").read_text(encoding="utf-8"))
    clock.stage("read the images")
    order = EstimateOrder(protocols=specs, field_strength=3.0, prior="network")
    acquisitions = read_acquisitions({name: folder / f"{name}.nii.gz" for name in specs}, order)
    clock.stage("load the network")
    estimate = estimate_tissue_maps(acquisitions, order, progress=lambda stage, _: clock.stage(stage))
    clock.stage("write the maps")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        write_estimate(estimate, Path(out))
        clock.stage("")
    total = [sum(times) for times in zip(*clock.seconds.values(), strict=True)]
    print(json.dumps({**clock.seconds, "total": total, "peak memory": [peak_memory_gb()] * 2}))


class _Clock:
    def __init__(self, stage: str) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._stage, self._start = stage, (time.process_time(), time.perf_counter())

    def stage(self, name: str) -> None:
        """Begin another stage, or go on with this one."""
        if name != self._stage:
            now = time.process_time(), time.perf_counter()
            self.seconds[self._stage] = [b - a for a, b in zip(self._start, now, strict=True)]
            self._stage, self._start = name, now


if __name__ == "__main__":
    _once(Path(sys.argv[2])) if sys.argv[1:2] == ["--once"] else main()
