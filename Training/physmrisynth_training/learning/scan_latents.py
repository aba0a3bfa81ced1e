"""Latents of scans: of those sessions that 'train vae' learns from, where there are no label maps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from PhysMRISynthLib.network.condition import CONDITION_SIZE, protocol_condition
from PhysMRISynthLib.network.device import fastest_precision
from PhysMRISynthLib.network.weights import Weights

from .batch_sources import kept_back, read_sessions
from .latent_config import LatentTrainingConfig
from .latents import LatentHead, LatentShape, StoredLatents, check_latents, check_network, encoded
from .real_scans import CachedScans

_log = logging.getLogger(__name__)


class ScanLatents(StoredLatents):
    """The latents of ``sessions`` in a ``folder``, by number."""

    def __init__(self, folder: Path, sessions: Sequence[CachedScans], sliced: bool) -> None:
        super().__init__(folder, len(sessions), sliced)
        self.sessions = tuple(sessions)


def open_scan_latents(
    data: Path, cache: Path, folder: Path, shape: LatentShape, config: LatentTrainingConfig, weights: Weights, device: torch.device,
    until: float | None, progress: Callable[[str], None],
) -> tuple[ScanLatents, ScanLatents] | None:  # fmt: skip
    """The training and held-out latents of the sessions in ``data``, at most ``config.heads`` and ``config.held_out`` of them, with missing
    ones computed; None if time ran out first. ``cache`` is the folder of sessions that have been read.

    Raises PhysMRISynthError when no session can be used, or ``folder`` holds other latents.
    """
    check_network(weights.config, shape)
    check_latents(folder, {"vae_sha256": weights.sha256, "shape": list(shape.shape), "seed": config.seed, "scans": True})
    sessions = read_sessions(data, cache, progress)
    aside = kept_back(sessions)
    if not aside:
        _log.warning("No subject is held out: the loss on held-out heads is not measured.")
    found = []
    for name, count, those in (
        ("held_out", config.held_out, [s for s in sessions if s.subject in aside]),
        ("learned", config.heads, [s for s in sessions if s.subject not in aside]),
    ):
        order = np.random.default_rng([config.seed, 8]).permutation(len(those))[:count]
        latents = ScanLatents(folder / name, [those[number] for number in sorted(order)], sliced=shape.spatial_dims == 2)
        if not _computed(latents, shape, weights, device, until, progress):
            return None
        found.append(latents)
    return found[1], found[0]


def _computed(
    latents: ScanLatents, shape: LatentShape, weights: Weights, device: torch.device, until: float | None, progress: Callable[[str], None]
) -> bool:
    """Compute missing latents; False if the time ``until`` was reached first."""
    precision = fastest_precision(device.type)
    latents.folder.mkdir(parents=True, exist_ok=True)
    for index in latents.missing():
        if until is not None and time.monotonic() > until:
            return False
        latents.write(index, latent_of_scans(latents.sessions[index], shape.shape, weights, device, precision))
        progress(f"latent {index + 1} of {len(latents)} in {latents.folder.name}")
    return True


def latent_of_scans(session: CachedScans, shape: Sequence[int], weights: Weights, device: torch.device, precision: str) -> LatentHead:
    """Encode a session by all its inputs, cropped to ``shape`` around the head's middle: the mean of their product of experts."""
    nothing = np.zeros(CONDITION_SIZE, dtype=np.float32)
    conditions = np.stack([nothing if p is None else protocol_condition(p, session.field_strength) for p in session.protocols])
    if len(shape) == 3:
        images = session.read(session.centre, shape)[:, None]
    else:
        first, end = session.planes
        images = session.read(((first + end) // 2, *session.centre[1:]), (end - first, *shape))
    present = np.array([p is not None for p in session.protocols])
    known = np.nan_to_num(images, nan=0.0).swapaxes(0, 1)
    return LatentHead(encoded(known, conditions, present, weights, device, precision), session.subject)
