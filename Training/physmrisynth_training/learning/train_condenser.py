"""Training the second stage (condenser): latents of simulated heads in far fewer numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.blocks import block_means
from PhysMRISynthLib.network.condenser import Condenser, CondenserConfig
from PhysMRISynthLib.network.condenser_weights import ExpanderWeights, load_expander
from PhysMRISynthLib.network.device import choose_device, fastest_precision
from PhysMRISynthLib.network.inference import decode
from PhysMRISynthLib.network.weights import Weights, check_finite, load_weights

from ..simulator.anatomy import BRAIN, LESION
from .checkpoint import load_checkpoint
from .latent_batches import Source, open_latents
from .latent_config import CondenserTrainingConfig
from .latent_moments import latent_moments
from .latent_trainer import COLUMNS, LatentTrainer
from .latents import StoredLatents
from .loop import train
from .run_options import Run
from .texture_loss import texture_error

_ELSEWHERE = 0.2
"""Relative weight of positions without brain: most of a head's variance is in the soft tissue of face and neck."""
_MIDDLE, _MIDDLE_MM = 2.0, 12.0
"""Extra weight of brain near the midline, and its width (SD of a Gaussian): fissure, third ventricle and corpus callosum are thin but
essential."""
_SEEN = 14
"""Number of heads that determine where brain is."""


class CondenserTrainer(LatentTrainer[Condenser]):
    """The second stage in training."""

    config: CondenserTrainingConfig
    columns = (*COLUMNS, "loss_texture")

    def ready(self) -> None:
        """With ``codes_fixed``, freeze the averaged encoder, whose codes the sampling models use; with ``decoder_fixed``, the decoder."""
        self.network.expander.requires_grad_(not self.config.decoder_fixed)
        if not self.config.codes_fixed:
            return
        self.network.reader.load_state_dict(self.average.reader.state_dict())
        self.network.reader.requires_grad_(False)
        self.network.normal.eval()

    def loss(self, model: Any, latent: Tensor, condition: Tensor) -> dict[str, Tensor]:
        seen, back = model(latent)
        loss = self.network.error(seen, back)
        if not self.config.texture_weight:
            return {"loss": loss}
        texture = texture_error(seen, back, self.network.emphasis)
        return {"loss": loss + self.config.texture_weight * texture, "loss_texture": texture}

    def score(self, latent: Tensor, condition: Tensor) -> Tensor:
        """The loss without the texture term."""
        return self.average.error(*self.average(latent))


def train_condenser(configuration: dict[str, Any], run: Run, vae: Path, progress: Callable[[str], None] = lambda line: None) -> Path | None:
    """Train a configuration on latents of the network in the file ``vae``; returns and raises as
    :func:`~physmrisynth_training.learning.train_ldm.train_ldm`."""
    began = time.monotonic()
    run.check()
    shape = CondenserConfig.from_mapping(configuration["network"])
    config = CondenserTrainingConfig.from_mapping(configuration.get("training", {}))
    if config.codes_fixed and not run.resume:
        raise PhysMRISynthError("'codes_fixed' continues a trained condenser: copy its checkpoint into --out and give --resume.")
    weights = load_weights(vae)
    latents = open_latents(run, shape, config, weights, progress)
    if latents is None:
        return None
    start = None if run.start_from is None else _start(run.start_from, shape, weights.sha256)
    run = run.since(began)
    source = Source(*latents, config)

    def moments(network: Condenser) -> None:
        if start is None:
            network.take(latent_moments(latents[0], shape), emphasis(latents[0], shape, weights, run))
        else:
            network.expander.load_state_dict(start.network.state_dict())
            network.emphasise(emphasis(latents[0], shape, weights, run))

    train(CondenserTrainer(configuration, run, source, lambda: Condenser(shape), moments, {"vae_sha256": weights.sha256}), progress)
    return run.checkpoint


def _start(path: Path, shape: CondenserConfig, vae_sha256: str) -> ExpanderWeights:
    """The decoder, and its latent space, that a training starts from."""
    start = load_expander(path)
    if (start.network.config, start.vae_sha256) != (shape, vae_sha256):
        raise PhysMRISynthError(f"{path} is a second stage of another shape, or for another network (VAE). Leave --start-from out.")
    return start


def emphasis(latents: StoredLatents, shape: CondenserConfig, weights: Weights, run: Run) -> Tensor:
    """Weight of each position (1, *S of the encoder's input), by the frequency of brain, fluid or lesion there, and its distance from the
    midline."""
    device = choose_device(run.accelerator)
    share = torch.zeros(1, *shape.seen_shape[1:])
    count = min(len(latents), _SEEN)
    for index in range(count):
        fractions = decode(weights, latents[index].latent[0], device, fastest_precision(device.type))
        inside = torch.from_numpy(fractions[[*BRAIN, LESION]].sum(axis=0, dtype="float32"))[None, None]
        share += block_means(inside, shape.factor * shape.fold)[0] / count
    side, columns = shape.factor * shape.fold, share.shape[-1]
    beside = side * (torch.arange(columns) - (columns - 1) / 2.0)
    return _ELSEWHERE + share.clamp(0.0, 1.0) * (1.0 - _ELSEWHERE + _MIDDLE * torch.exp(-0.5 * (beside / _MIDDLE_MM) ** 2))


def trained_condenser(checkpoint: Path, vae_sha256: str) -> Condenser:
    """The averaged second stage of a checkpoint. Raises PhysMRISynthError when it is none, or for another network's latents."""
    return condenser_of(load_checkpoint(checkpoint), checkpoint, vae_sha256)


def condenser_of(state: dict[str, Any], checkpoint: Path, vae_sha256: str) -> Condenser:
    """As :func:`trained_condenser`, of a ``state`` that was read from the file ``checkpoint``."""
    try:
        network = Condenser(CondenserConfig.from_mapping(state["configuration"]["network"]))
        network.load_state_dict(state["average"])
        of = str(state["vae_sha256"])
    except (LookupError, TypeError, RuntimeError, PhysMRISynthError) as error:
        raise PhysMRISynthError(f"{checkpoint} is no checkpoint of 'train condenser' ({error}). Give another.") from None
    if of != vae_sha256:
        raise PhysMRISynthError(f"The condenser {checkpoint} was trained for another network (VAE). Use what belongs together.")
    check_finite(network.state_dict(), checkpoint)
    return network.eval().requires_grad_(False)
