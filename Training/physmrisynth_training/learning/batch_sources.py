"""Sources of batches: simulated heads, real scans, or both alternately."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch.utils.data import Dataset

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.intake.sessions import find_sessions
from PhysMRISynthLib.network.config import NetworkConfig

from ..simulator.simulated_scans import Simulator, read_simulator
from .batch import Batch, LabelBatch, SignalBatch
from .dataset import Mixture, RealScans, SimulatedHeads, volume_shape
from .real_scans import CachedScans, cached_scans
from .run_options import Run
from .vae_config import VaeTrainingConfig

_log = logging.getLogger(__name__)
LABELS, SCANS = "head_labels", "scans"
_VALIDATION_SEED, _VALIDATION_SAMPLES = 987_654, 3
_HELD_OUT = 20
"""One subject in this many is held out for validation."""


@dataclass(frozen=True)
class Source:
    """All data of a training: simulators of training and validation heads (None: no label maps), and sessions of scans.

    ``as_signals``: simulated heads are given as images to reconstruct, not as labels.
    """

    config: VaeTrainingConfig
    heads: Simulator | None
    selection: Simulator | None
    scans: tuple[CachedScans, ...]
    held_out: tuple[CachedScans, ...]
    as_signals: bool

    @property
    def kinds(self) -> frozenset[type[Batch]]:
        """The kinds of batches that it gives."""
        labels = self.heads is not None and not self.as_signals
        return frozenset(kind for kind, there in ((LabelBatch, labels), (SignalBatch, self.as_signals or self.scans)) if there)

    def dataset(self, samples_per_step: int) -> Dataset[Batch]:
        """Batches of one sample by number, with ``samples_per_step`` in each step."""
        dropout = self.config.modality_dropout
        if self.heads is None:
            return self._real(self.scans, samples_per_step, self.config.seed, dropout)
        simulated = self._simulated(self.heads, samples_per_step, dropout)
        if not self.scans:
            return simulated
        return Mixture(simulated, self._real(self.scans, samples_per_step, self.config.seed, dropout), self.config.scan_share)

    def _simulated(self, heads: Simulator, samples_per_step: int, dropout: bool) -> SimulatedHeads:
        config = self.config
        return SimulatedHeads(heads, config.crops, samples_per_step, dropout, self.as_signals, config.published_equations)

    def _real(self, scans: Sequence[CachedScans], samples_per_step: int, seed: int, dropout: bool) -> RealScans:
        return RealScans(scans, self.config.crops, samples_per_step, seed, dropout, self.config.published_equations)

    def last_step(self, samples_per_step: int) -> int | None:
        """The step after ``epochs`` passes over the real scans; None if unlimited."""
        if not self.config.epochs:
            return None
        if self.heads is not None:
            _log.warning("'epochs' counts passes over real scans alone. Label maps never end: give --steps or --minutes, or stop the run.")
            return None
        return self._step_after(self.config.epochs, samples_per_step)

    def first_adversarial_step(self, samples_per_step: int) -> int:
        """The step after ``adversarial_after`` passes over the real scans; 0 with label maps, which never end."""
        return 0 if self.heads is not None else self._step_after(self.config.adversarial_after, samples_per_step)

    def _step_after(self, epochs: float, samples_per_step: int) -> int:
        pieces = len(self._real(self.scans, samples_per_step, self.config.seed, False).pieces)
        return math.ceil(epochs * pieces / samples_per_step)

    def validation(self) -> list[Batch]:
        """Fixed batches of held-out heads and scans, with all inputs."""
        alike = replace(self, config=replace(self.config, crops=self.config.crops[:1]))
        data: list[Dataset[Batch]] = []
        if self.selection is not None:
            data.append(alike._simulated(self.selection, 1, False))
        if self.held_out:
            data.append(alike._real(self.held_out, 1, _VALIDATION_SEED, False))
        return [those[index] for those in data for index in range(_VALIDATION_SAMPLES)]


def open_source(
    run: Run,
    shape: NetworkConfig,
    config: VaeTrainingConfig,
    heads: Sequence[int],
    selection: Sequence[int],
    progress: Callable[[str], None],
) -> Source:
    """Find and read the data of a run: label maps numbered ``heads`` are for training, ``selection`` for validation.

    Raises PhysMRISynthError when a folder holds neither label maps nor scans, or nothing usable.
    """
    labelled = (run.data / LABELS).is_dir()
    if not labelled and run.scans is not None:
        raise PhysMRISynthError(f"{run.data} has no folder {LABELS}. Give label maps as --data, or the scans as --data without --scans.")
    folder = run.scans if labelled else run.data
    real = read_sessions(folder, run.out / SCANS, progress) if folder is not None else []
    aside = kept_back(real)
    if real and not aside:
        _log.warning("Scans of fewer than %d subjects: none is held out for validation.", _HELD_OUT)

    def simulator(numbers: Sequence[int], seed: int) -> Simulator | None:
        return read_simulator(run.data, numbers, volume_shape(config.crops[0]), seed) if labelled else None

    return Source(
        config,
        simulator(heads, config.seed),
        simulator(selection, _VALIDATION_SEED),
        tuple(session for session in real if session.subject not in aside),
        tuple(session for session in real if session.subject in aside),
        as_signals=shape.head == "exp",
    )


def kept_back(sessions: Sequence[CachedScans]) -> set[str]:
    """The subjects held out for validation."""
    return set(sorted({session.subject for session in sessions})[_HELD_OUT - 1 :: _HELD_OUT])


def read_sessions(folder: Path, cache: Path, progress: Callable[[str], None]) -> list[CachedScans]:
    """All usable sessions of scans in a ``folder``, kept in the folder ``cache``. Raises PhysMRISynthError when there is none."""
    found = find_sessions(folder)
    if not found:
        raise PhysMRISynthError(
            f"{folder} holds no training data: neither a folder {LABELS}, nor scans as sub-*/ses-*/anat/*_T1w.nii.gz (_T2w, _FLAIR), "
            "nor folders with t1w.nii.gz, t2w.nii.gz or flair.nii.gz. Check the path."
        )
    return cached_scans(found, cache, progress)
