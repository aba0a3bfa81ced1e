"""A sampling model and a network small enough for tests: heads of 32×48×32 voxels in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from PhysMRISynthLib.network.condenser import Condenser, CondenserConfig
from PhysMRISynthLib.network.condenser_weights import codes_sha256, save_expander
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.diffusion import LatentDiffusion
from PhysMRISynthLib.network.diffusion_config import DiffusionConfig
from PhysMRISynthLib.network.diffusion_weights import save_sampler
from PhysMRISynthLib.network.manifest import write_manifest
from PhysMRISynthLib.network.vae import CLASSES, TissueVAE
from PhysMRISynthLib.network.weights import save_weights

VAE = NetworkConfig(3, 4, (), (8, 8), (1, 1), 2, (8,), 2)
TINY = DiffusionConfig(
    3, 2, 4, (32, 48, 32), (8, 16), (False, True), fold=2, head_channels=8, condition=("brain_volume", "ventricle_share", "lesion_load")
)

CONDENSER = CondenserConfig(2, 4, (32, 48, 32), 4, (16, 16), (1, 1), (16, 16), (1, 1), components=8)
OF_CODES = replace(
    TINY, latent_channels=4, factor=16, widths=(8,), attention=(True,), fold=1, components=4, objective="flow_residual", positions=True
)
"""A sampling model of that condenser's codes."""


def tiny_model(seed: int = 0, **changes: object) -> LatentDiffusion:
    """With random weights also where MONAI begins with zeros, so that noise, time and condition all matter."""
    torch.manual_seed(seed)
    model = LatentDiffusion(replace(TINY, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0.0, 0.05)
    model.requires_grad_(False)
    return model


def tiny_vae(seed: int = 0) -> TissueVAE:
    """A network whose decoder sees more brain and fluid than air, so that there is a head."""
    torch.manual_seed(seed)
    network = TissueVAE(VAE).eval().requires_grad_(False)
    per_class = network.decoder.out.bias.view(len(CLASSES), -1)
    per_class[CLASSES.index("white_matter")] += 1.0
    return network


def tiny_condenser(seed: int = 0) -> Condenser:
    """A condenser in use, with random weights."""
    torch.manual_seed(seed)
    return Condenser(CONDENSER).eval().requires_grad_(False)


def with_condenser(folder: Path, vae_sha256: str) -> Path:
    """A sampling model of codes and its expander in one folder; returns the sampling model's file."""
    condenser = tiny_condenser()
    save_expander(condenser, vae_sha256, {"steps": 6}, folder / "expander.safetensors")
    save_sampler(tiny_model(**vars(OF_CODES)), vae_sha256, {"steps": 5}, folder / "sampler.safetensors", codes_sha256(condenser))
    return folder / "sampler.safetensors"


def installed(folder: Path) -> Path:
    """Both weights with a manifest that names them, as they are shipped; returns the manifest."""
    manifest = folder / "weights.json"
    sha256 = save_weights(tiny_vae(), {}, folder / "vae.safetensors")
    write_manifest(folder / "vae.safetensors", manifest)
    save_sampler(tiny_model(), sha256, {"steps": 5}, folder / "sampler.safetensors")
    write_manifest(folder / "sampler.safetensors", manifest, "sampler")
    return manifest
