"""Where voxels are computed: NumPy on all cores, or a torch device that the user asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..errors import EstimationError, Remedy
from ..physics.arrays import Array, Move, stay
from .chunks import for_each_chunk

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)
_LEAST = 1 << 13
"""Voxels at a time on a device: enough to keep it busy; when even few are too many, its memory belongs to others."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Compute:
    """A torch ``device``, or None for NumPy. Whatever a device cannot do is done with NumPy, which is logged. A device gets ``most`` voxels
    at a time, fewer where its memory does not suffice."""

    device: torch.device | None = None
    most: int = 1 << 20

    @classmethod
    def on(cls, wanted: str) -> Compute:
        """Where to compute when that device is ``wanted`` (auto, cpu, cuda, mps): "auto" concerns the network alone, "cpu" is NumPy.

        Raises EstimationError when a device cannot be had.
        """
        if wanted in ("auto", "cpu"):
            return cls()
        try:
            from ..network.device import choose_device
        except ImportError:
            raise EstimationError(
                f"The device '{wanted}' needs PyTorch, which is not installed.",
                Remedy.INSTALL(packages="PyTorch", extra="inference"),
                Remedy.COMPUTE_ON_CPU,
            ) from None
        return cls(choose_device(wanted))

    def move(self, array: np.ndarray) -> Array:
        """An array on the device, where single precision is as much as all devices know."""
        if self.device is None:
            return array
        import torch

        return torch.tensor(array.astype(np.float32) if array.dtype == np.float64 else array, device=self.device)

    def for_each_chunk(
        self, count: int, size: int, work: Callable[[slice, Move], None], progress: Callable[[float], None] = lambda fraction: None
    ) -> None:
        """Call ``work`` with every chunk of ``count`` voxels, and with what moves arrays to where they are computed with.

        NumPy gets ``size`` voxels at a time on all cores, a device as many as its memory allows. ``progress`` is told the fraction done
        from this thread. An exception of either ends the work and reaches the caller.
        """
        done = self._chunks_on_device(count, work, progress)
        if done < count:
            left = count - done

            def rest(piece: slice) -> None:
                work(slice(done + piece.start, done + piece.stop), stay)

            for_each_chunk(left, size, rest, lambda fraction: progress((done + fraction * left) / count))

    def _chunks_on_device(self, count: int, work: Callable[[slice, Move], None], progress: Callable[[float], None]) -> int:
        """How many voxels the device has done, all of them or as far as it came."""
        done, size = 0, self.most
        while self.device is not None and done < count:
            end = min(done + size, count)
            try:
                work(slice(done, end), self.move)
            except (RuntimeError, MemoryError) as error:
                size //= 2
                if not self._has_run_out(error) or size < _LEAST:
                    self._give_up(error)
                    break
                _log.warning("Not enough memory on %s for %d voxels at a time: going on with %d.", self.device, 2 * size, size)
                continue
            done = end
            progress(done / count)
        return done

    def at_once(self, work: Callable[[Move], Result]) -> Result:
        """What ``work`` makes with what moves arrays to where they are computed with."""
        if self.device is not None:
            try:
                return work(self.move)
            except (RuntimeError, MemoryError) as error:
                self._give_up(error)
        return work(stay)

    def _has_run_out(self, error: BaseException) -> bool:
        from ..network.device import free_memory, is_out_of_memory

        if self.device is None or not is_out_of_memory(error):
            return False
        free_memory(self.device)
        return True

    def _give_up(self, error: BaseException) -> None:
        _log.warning("The device %s failed (%s): going on with the CPU.", self.device, (str(error) or type(error).__name__).splitlines()[0])
