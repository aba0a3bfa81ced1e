"""Images of random protocols a second, against one rendering of the straightforward NumPy expression for each, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from physmrisynth_training.simulator.random_protocol import RandomProtocol

SHAPE = (4, 1, 96, 96, 96)
REPEATS = 12
"""Batches, each of other protocols."""


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    values = {"PD": (0.6, 1.0), "T1": (700.0, 4500.0), "T2": (50.0, 2000.0)}
    arrays = {name: rng.uniform(*limits, SHAPE).astype(np.float32) for name, limits in values.items()}
    plain = np.mean([_seconds(lambda: _plain(**arrays)) for _ in range(REPEATS)])
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        maps = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        transform = RandomProtocol(seed=0)
        transform(maps)  # warm up
        ours = np.mean([_seconds(lambda: transform(maps)["image"].sum().item()) for _ in range(REPEATS)])  # noqa: B023
        told = f"{SHAPE[0] / ours:.0f} images a second, {ours / plain:.1f} x the time of the plain expression without noise and field"
        print(f"RandomProtocol, 96³ voxels, batches of {SHAPE[0]}, on {device}: {told}", flush=True)


def _plain(PD: np.ndarray, T1: np.ndarray, T2: np.ndarray) -> np.ndarray:
    return PD * (1 - 2 * np.exp(-2500 / T1) + np.exp(-9000 / T1)) * np.exp(-90 / T2)


def _seconds(work: Callable[[], object]) -> float:
    """Of one processor core: other work on the machine does not count, nor does waiting for a GPU (its result is waited for busily)."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
