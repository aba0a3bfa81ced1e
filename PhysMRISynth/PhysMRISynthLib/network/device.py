"""Choice of device and precision, and fallbacks when a device fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch
from torch.nn import functional

from ..errors import EstimationError, Remedy

_log = logging.getLogger(__name__)
Result = TypeVar("Result")


@cache
def fastest_precision(device: str) -> str:
    """ "bf16-mixed" where the device is faster with it, "16-mixed" on GPUs without bfloat16, else "32-true".

    On a CPU both are timed on a small convolution, since the faster one depends on the machine.
    """
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    if device != "cpu":
        return "32-true"
    return "bf16-mixed" if _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32) else "32-true"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Autocast context for a ``precision`` as named by :func:`fastest_precision`."""
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype, enabled=dtype is not None)


def _seconds(dtype: torch.dtype) -> float:
    x = torch.zeros(1, 32, 24, 24, 24, dtype=dtype).to(memory_format=torch.channels_last_3d)
    weight = torch.zeros(32, 32, 3, 3, 3, dtype=dtype).to(memory_format=torch.channels_last_3d)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        functional.conv3d(x, weight, padding=1)
        times.append(time.perf_counter() - start)
    return min(times)


def choose_device(wanted: str = "auto") -> torch.device:
    """The device of that name (auto, cpu, cuda, mps); "auto" takes a GPU that works, else the CPU.

    A GPU counts as working when a tiny computation on it succeeds: an architecture that this build of torch does not support fails only
    then. Raises EstimationError when a device was asked for by name and does not work.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    for name in ("cuda", "mps") if wanted == "auto" else (wanted,):
        reason = _why_not(name)
        if reason is None:
            return torch.device(name)
        if wanted != "auto":
            raise EstimationError(f"The device '{wanted}' cannot be used ({reason}).", Remedy.COMPUTE_ON_CPU)
    return torch.device("cpu")


def _why_not(name: str) -> str | None:
    """Why a GPU cannot be used, or None when it can."""
    available = torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()
    if not available:
        return "this installation of torch does not see one"
    try:
        probe = torch.ones(1, 1, 4, 4, 4, device=name)
        functional.conv3d(probe, torch.ones(1, 1, 3, 3, 3, device=name)).sum().item()
    except (RuntimeError, NotImplementedError) as error:
        return str(error).splitlines()[0]
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, ran out of memory."""
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "out of memory" in str(error).lower()


def free_memory(device: torch.device) -> None:
    """Release the device memory that torch caches."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def with_fallback(work: Callable[[torch.device, int], Result], device: torch.device, tiles: tuple[int, ...]) -> tuple[Result, torch.device]:
    """Run ``work(device, tile)`` with the first tile size that fits into memory; on the CPU when the device fails altogether.

    Returns the result and the device used.
    """
    for tile in tiles:
        try:
            return work(device, tile), device
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                if device.type == "cpu":
                    raise
                _log.warning("The device %s failed (%s): going on with the CPU.", device, str(error).splitlines()[0])
                break
            _log.warning("Not enough memory on %s for tiles of %d voxels: trying smaller ones.", device, tile)
            free_memory(device)
    if device.type != "cpu":
        return with_fallback(work, torch.device("cpu"), tiles)
    raise EstimationError("Not enough memory for the network.", Remedy.DO(this="close other programs"), Remedy.USE_LITERATURE_PRIOR)
