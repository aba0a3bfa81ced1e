"""Which device and which arithmetic to compute with."""

from __future__ import annotations

import time
from functools import cache

import torch
from torch.nn import functional


@cache
def fastest_precision(device: str) -> str:
    """"bf16-mixed" where the device is faster with it, "16-mixed" on GPUs without bfloat16, else "32-true".

    On a CPU both are timed on a small convolution: which instructions help depends on the machine.
    """
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    if device != "cpu":
        return "32-true"
    return "bf16-mixed" if _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32) else "32-true"


def _seconds(dtype: torch.dtype) -> float:
    x = torch.zeros(1, 32, 24, 24, 24, dtype=dtype).to(memory_format=torch.channels_last_3d)
    weight = torch.zeros(32, 32, 3, 3, 3, dtype=dtype).to(memory_format=torch.channels_last_3d)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        functional.conv3d(x, weight, padding=1)
        times.append(time.perf_counter() - start)
    return min(times)
