"""Runs of the 2D model in a folder: their switches, and their reconstructions of the test slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.diffusion import LatentDiffusion
from PhysMRISynthLib.network.diffusion_config import DiffusionConfig
from PhysMRISynthLib.network.manifest import file_sha256
from PhysMRISynthLib.network.vae import TissueVAE, product_of_experts
from PhysMRISynthLib.network.weights import load_weights

from ...learning.batch import SignalBatch
from ...learning.checkpoint import load_checkpoint
from ...learning.differentiable_rendering import render
from ...learning.latent_config import LdmTrainingConfig
from ...learning.run_options import CHECKPOINT
from ...learning.vae_config import VaeTrainingConfig
from ...learning.vae_with_gains import GainNetwork, Generator
from .slices import KnownSlices
from .whole_heads import Reconstruction


@dataclass(frozen=True)
class TrainedRun:
    """A run of 'train vae' with the head "exp": its ``generator`` (averaged weights), its ``training``, ``step`` and ``seconds``, and the
    ``sha256`` of its checkpoint."""

    name: str
    generator: Generator
    training: VaeTrainingConfig
    step: int
    seconds: float
    sha256: str

    @property
    def network(self) -> TissueVAE:
        return self.generator.network

    @property
    def prior(self) -> bool:
        """Whether T1 and T2 had a prior."""
        return self.training.tissue_prior > 0

    @property
    def adaptive(self) -> bool:
        """Whether the encoder was conditioned on the protocol."""
        return self.network.config.adaptive

    @property
    def switches(self) -> tuple[bool, bool, bool, bool]:
        """Prior, AdaGN, gain regression and modality dropout, as in the paper's Table 1."""
        return self.prior, self.adaptive, self.training.gain_regression, self.training.modality_dropout

    @property
    def parameters(self) -> int:
        """Number of the network's parameters."""
        return sum(p.numel() for p in self.network.parameters())

    def description(self) -> dict[str, Any]:
        """Switches and cost, as JSON values."""
        return {
            "run": self.name, "prior": self.prior, "adaptive": self.adaptive, "gain_regression": self.training.gain_regression,
            "modality_dropout": self.training.modality_dropout, "steps": self.step, "seconds": self.seconds,
            "batch": self.training.batch, "crop": list(self.training.crops[0]), "parameters": self.parameters,
        }  # fmt: skip

    def reconstruct(self, slices: KnownSlices, subsets: Sequence[tuple[str, ...]] = (ROLES,)) -> dict[tuple[str, ...], Reconstruction]:
        """The slices from each of the ``subsets`` of inputs; images are those of all protocols, also of those that were not inputs."""
        batch = slices.batch(self.training.published_equations)
        found = [self._slice(batch, place, subsets) for place in range(len(slices.planes))]
        levels = slices.raw_levels[:, None, None, None]
        joined = {}
        for names in subsets:
            images, maps = (np.stack(part, axis=1) for part in zip(*(each[names] for each in found), strict=True))
            joined[names] = Reconstruction(images * levels, maps)
        return joined

    @torch.inference_mode()
    def _slice(
        self, batch: SignalBatch, place: int, subsets: Sequence[tuple[str, ...]]
    ) -> dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]]:
        """Images in units of the scaled inputs, and maps, of one slice of a batch, from each subset."""
        one = slice(place, place + 1)
        images, conditions = batch.images[one], batch.conditions[one]
        # each input is encoded once, whatever the number of subsets
        alone = [self.network.encode(images, conditions, mark) for mark in torch.eye(len(ROLES), dtype=torch.bool)[:, None]]
        mean, log_variance = (torch.stack(part, dim=1) for part in zip(*alone, strict=True))
        log_gain = None if self.generator.gain is None else self.generator.gain(batch.targets[one])
        found = {}
        for names in subsets:
            present = torch.tensor([[role in names for role in ROLES]]) & batch.present[one]
            theta = cast(Tensor, self.network.decode(product_of_experts(mean, log_variance, present).mean))
            rendered = render(theta, batch.equations()[one]) / batch.scale[one]
            if log_gain is not None:
                rendered = rendered * log_gain.exp().view(1, -1, 1, 1)
            found[names] = rendered[0].numpy(), theta[0].exp().numpy()
        return found


def read_runs(folder: Path) -> list[TrainedRun]:
    """The runs of the 2D model in the folders of ``folder``, sorted by name. Raises PhysMRISynthError when there is none."""
    checkpoints = [(path, load_checkpoint(path)) for path in sorted(folder.glob(f"*/{CHECKPOINT}"))]
    found = [_run(path, state) for path, state in checkpoints if state["configuration"]["network"].get("head") == "exp"]
    if not found:
        raise PhysMRISynthError(
            f"{folder} has no folder with a {CHECKPOINT} of the 2D model. Train it ('physmrisynth train vae --config paper_2d_small'), "
            "and give the folder that holds the runs with --runs."
        )
    return found


def _run(path: Path, state: dict[str, Any]) -> TrainedRun:
    config = NetworkConfig.from_mapping(state["configuration"]["network"])
    gain = None
    if "gain" in state:
        gain = GainNetwork(config.spatial_dims)
        gain.load_state_dict(state["gain"])
    generator = Generator(TissueVAE(config), gain)
    generator.network.load_state_dict(state["average"])
    training = VaeTrainingConfig.from_mapping(state["configuration"]["training"])
    generator.eval().requires_grad_(False)
    return TrainedRun(path.parent.name, generator, training, int(state["step"]), float(state["seconds"]), file_sha256(path))


@dataclass(frozen=True)
class TrainedDiffusion:
    """The latent diffusion of a run of 'train ldm' on latents ``of`` the run of this name, whose network is its ``decoder``; and its
    checkpoint's ``sha256``."""

    of: str
    model: LatentDiffusion
    decoder: TissueVAE
    batch: int
    step: int
    seconds: float
    sha256: str

    @torch.inference_mode()
    def maps(self, seed: int, steps: int) -> np.ndarray:
        """PD, T1 (ms) and T2 (ms) of a sampled slice (3, *SHAPE), by DDIM."""
        theta = cast(Tensor, self.decoder.decode(self.model.sample(steps, seed)))
        return theta[0].exp().numpy()


def read_diffusions(folder: Path) -> list[TrainedDiffusion]:
    """The 2D latent diffusions in the folders of ``folder``, sorted by the run whose latents they are of. Raises PhysMRISynthError when
    there are two of one run, or that run's weights are missing."""
    found: dict[str, TrainedDiffusion] = {}
    for path in sorted(folder.glob(f"*/{CHECKPOINT}")):
        state = load_checkpoint(path)
        if "vae_sha256" not in state or state["configuration"]["network"].get("spatial_dims") != 2:
            continue
        diffusion = _diffusion(folder, path, state)
        if diffusion.of in found:
            raise PhysMRISynthError(f"{folder} holds two latent diffusions of the latents of '{diffusion.of}'. Keep one of them there.")
        found[diffusion.of] = diffusion
    return [found[name] for name in sorted(found)]


def _diffusion(folder: Path, path: Path, state: dict[str, Any]) -> TrainedDiffusion:
    model = LatentDiffusion(DiffusionConfig.from_mapping(state["configuration"]["network"]))
    model.load_state_dict(state["average"])
    weights = _decoder(folder, state["vae_sha256"])
    batch = LdmTrainingConfig.from_mapping(state["configuration"]["training"]).batch
    return TrainedDiffusion(
        weights.parent.name, model.eval().requires_grad_(False), load_weights(weights).network.eval(), batch, int(state["step"]),
        float(state["seconds"]), file_sha256(path),
    )  # fmt: skip


def _decoder(folder: Path, sha256: str) -> Path:
    for path in sorted(folder.glob("*/*.safetensors")):
        if file_sha256(path) == sha256:
            return path
    raise PhysMRISynthError(
        f"The folders of {folder} lack the weights (.safetensors) that its latent diffusion was trained on. Put their run's folder there."
    )
