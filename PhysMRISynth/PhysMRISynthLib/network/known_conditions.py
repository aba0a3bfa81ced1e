"""The conditions that a sampling model knows, from the head of its file alone: needs neither torch nor safetensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import PhysMRISynthError, Remedy, WeightsError
from .diffusion_config import CONDITIONS, Condition, DiffusionConfig
from .manifest import installed_weights

FORMAT = "physmrisynth-sampler-3"
"""What the files of sampling models say that they are."""
RETRAIN = (Remedy.REINSTALL, Remedy.DO(this="train with 'physmrisynth train ldm'"))
"""What helps where a file is missing or damaged."""
_RANGE = "condition_range"
_LONGEST = 10_000_000
"""Bytes of a head, which is a few thousand long: a damaged length must not fill the memory."""


def known_conditions(weights: Path | None = None) -> dict[str, Condition]:
    """The conditions, by name, of the sampling model in a file ``weights``, or of the installed one, in the model's order: ``least`` and
    ``greatest`` are those of its training heads, or the condition's own bounds where the file does not hold them.

    Raises WeightsError when the file is missing, damaged or of another kind.
    """
    path = installed_weights("sampler")[0] if weights is None else weights
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except FileNotFoundError:
        raise WeightsError(f"There are no network weights at {path}.", *RETRAIN) from None
    except OSError as error:
        raise WeightsError(f"The network weights {path} could not be read ({error.strerror or error}).", *RETRAIN) from None
    except WeightsError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, struct.error, PhysMRISynthError) as error:
        raise WeightsError(f"The network weights {path.name} are damaged ({error}).", *RETRAIN) from None


def _read(file: IO[bytes], path: Path) -> dict[str, Condition]:
    """A safetensors file begins with the length of its head, which is JSON, and the numbers follow
    (https://huggingface.co/docs/safetensors: *Format*)."""
    (size,) = struct.unpack("<Q", file.read(8))
    if size > _LONGEST:
        raise ValueError("no head")
    head = json.loads(file.read(size))
    metadata = head.get("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path.name} holds other weights than this version's sampling model. Use the weights of the same version.")
    names = DiffusionConfig.from_mapping(json.loads(metadata["config"])).condition
    if _RANGE not in head:
        return {name: CONDITIONS[name] for name in names}
    least, greatest = _numbers(file, 8 + size, head[_RANGE], (2, len(names))).tolist()
    return {name: replace(CONDITIONS[name], least=least[n], greatest=greatest[n]) for n, name in enumerate(names)}


def _numbers(file: IO[bytes], start: int, entry: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray:
    if entry["dtype"] != "F32" or tuple(entry["shape"]) != shape:
        raise ValueError(f"{_RANGE} is of another shape than its conditions")
    file.seek(start + entry["data_offsets"][0])
    found = np.frombuffer(file.read(4 * shape[0] * shape[1]), "<f4").reshape(shape)
    if not (np.isfinite(found).all() and (found[0] <= found[1]).all()):
        raise ValueError(f"{_RANGE} holds no ranges")
    return found
