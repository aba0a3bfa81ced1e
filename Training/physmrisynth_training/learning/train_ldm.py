"""Training the sampling model on the latents of simulated heads, or on codes of the second stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.condenser import Condenser
from PhysMRISynthLib.network.condenser_weights import CODES_SHA256, codes_sha256
from PhysMRISynthLib.network.device import choose_device
from PhysMRISynthLib.network.diffusion import LatentDiffusion
from PhysMRISynthLib.network.diffusion_config import DiffusionConfig
from PhysMRISynthLib.network.diffusion_weights import save_sampler
from PhysMRISynthLib.network.weights import load_weights
from PhysMRISynthLib.workflow.sampling.order import SampleOrder

from .latent_batches import Codes, Source, open_latents
from .latent_config import LdmTrainingConfig
from .latent_moments import latent_moments, number_moments, number_range
from .latent_trainer import COLUMNS, LatentTrainer
from .latents import StoredLatents
from .loop import train
from .novelty import Novelty
from .run_options import Run
from .train_condenser import trained_condenser

WEIGHTS = "sampler.safetensors"
_DRAWN, _STEPS = 8, 20
"""Number of heads sampled now and then to measure novelty, and of their steps, fewer than for users."""


class LdmTrainer(LatentTrainer[LatentDiffusion]):
    """The sampling model in training. On codes, which are few, it also reports the novelty of its samples."""

    config: LdmTrainingConfig
    columns = (*COLUMNS, "novelty")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        learned, held_out = self.source.learned, self.source.held_out
        self.novelty = Novelty(learned, held_out) if isinstance(learned, Codes) and isinstance(held_out, Codes) else None

    def loss(self, model: Any, latent: Tensor, condition: Tensor) -> dict[str, Tensor]:
        return {"loss": model(latent, condition, self.config.scales)}

    def score(self, latent: Tensor, condition: Tensor) -> Tensor:
        """The loss without the ``scales`` of training."""
        return self.average(latent, condition)

    def scores(self) -> dict[str, float]:
        """Also the :class:`Novelty` of a few heads, always of the same seeds."""
        found = super().scores()
        if self.novelty is None:
            return found
        with self.fabric.autocast():
            drawn = torch.cat([self.average.sample(_STEPS, seed, renewal=SampleOrder.renewal) for seed in range(_DRAWN)])
        return {**found, "novelty": self.novelty.of(drawn)}


def train_ldm(
    configuration: dict[str, Any],
    run: Run,
    vae: Path,
    progress: Callable[[str], None] = lambda line: None,
    condenser: Path | None = None,
) -> Path | None:
    """Train a configuration on latents of the network in the file ``vae``, or on their codes by the ``condenser`` of that checkpoint;
    returns the checkpoint, beside which the averaged weights are in WEIGHTS, or None when ``run.minutes`` were over before all latents
    were computed (the next run continues). ``progress`` gets a line now and then.

    Raises PhysMRISynthError when checkpoint and ``run.resume`` contradict each other, or the configuration, the networks or the data are
    not usable.
    """
    began = time.monotonic()
    run.check()
    shape = DiffusionConfig.from_mapping(configuration["network"])
    config = LdmTrainingConfig.from_mapping(configuration.get("training", {}))
    if any(side % scale for side in shape.seen_shape[1:] for scale in config.scales):
        raise PhysMRISynthError(f"A training's 'scales' must divide {shape.seen_shape[1:]}, the positions that the UNet sees.")
    weights = load_weights(vae)
    of = {"vae_sha256": weights.sha256, CODES_SHA256: ""}
    network = None if condenser is None else trained_condenser(condenser, weights.sha256)
    if network is not None:
        _check_codes(network, shape)
        of[CODES_SHA256] = codes_sha256(network)
    # before other processes start: they find what has been computed
    latents = open_latents(run, shape if network is None else network.config, config, weights, progress)
    if latents is None:
        return None
    learned, held_out = latents if network is None else _condensed(latents, network, run)
    run = run.since(began)
    source = Source(learned, held_out, config, shape.condition, config.untold)

    def moments(model: LatentDiffusion) -> None:
        model.take(latent_moments(learned, shape), *number_moments(learned, shape.condition), number_range(learned, shape.condition))

    trainer = LdmTrainer(configuration, run, source, lambda: LatentDiffusion(shape), moments, of)
    train(trainer, progress)
    if trainer.fabric.is_global_zero:
        card = {"steps": trainer.step, "hours": round(trainer.seconds / 3600.0, 1), "configuration": configuration}
        save_sampler(trainer.average, weights.sha256, card, run.out / WEIGHTS, of[CODES_SHA256])
    return run.checkpoint


def _check_codes(network: Condenser, shape: DiffusionConfig) -> None:
    made = (3, network.config.codes, network.config.code_factor, network.config.shape)
    wanted = (shape.spatial_dims, shape.latent_channels, shape.factor, shape.shape)
    if made != wanted:
        raise PhysMRISynthError(
            f"The condenser gives {made[1]} codes for {made[2]} voxels in {made[0]}D of {made[3]}, the sampling model expects {wanted[1]} "
            f"for {wanted[2]} in {wanted[0]}D of {wanted[3]}. Change the configuration."
        )


def _condensed(latents: tuple[StoredLatents, StoredLatents], network: Condenser, run: Run) -> tuple[Codes, Codes]:
    """Their codes, in full precision, so that a run resumed elsewhere learns the same."""
    device = choose_device(run.accelerator)
    network = network.to(device)

    def codes(latent: Tensor) -> Tensor:
        return network.codes(latent.to(device))

    return Codes(latents[0], codes), Codes(latents[1], codes)
