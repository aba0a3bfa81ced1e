"""One step of an optimiser."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer


def descend(fabric: Fabric, model: _FabricModule, optimizer: _FabricOptimizer, loss: Tensor, greatest_norm: float) -> bool:
    """One gradient step, with the gradient clipped to a norm (0: not clipped); False if it was not finite and the step was skipped."""
    optimizer.zero_grad()
    fabric.backward(loss)
    norm = fabric.clip_gradients(model, optimizer, max_norm=greatest_norm or math.inf, error_if_nonfinite=False)
    # in half precision the gradient scaler must see every step: it skips such steps itself, and lowers its scale
    usable = norm is None or bool(torch.isfinite(norm)) or getattr(fabric.strategy.precision, "scaler", None) is not None
    if usable:
        optimizer.step()
    return usable
