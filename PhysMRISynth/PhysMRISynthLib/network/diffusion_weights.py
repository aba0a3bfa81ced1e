"""Weights of the sampling model, with the identity of the networks whose latents or codes it samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsError
from . import condenser_weights
from .condenser_weights import CODES_SHA256, ExpanderWeights, load_expander
from .diffusion import LatentDiffusion
from .diffusion_config import DiffusionConfig
from .known_conditions import FORMAT, RETRAIN
from .manifest import installed_weights
from .storage import restored, stored
from .weights import Weights, check_finite, identities, load_weights, network_of, read_tensors, write_tensors

KIND = "sampler"
"""The entry of these weights in the manifest."""
STEP = 0.055
"""Quantisation step of large tensors in a file: a relative error of 1.6 %."""
_PACKED = ("unet.",)


@dataclass(frozen=True)
class SamplerWeights:
    """A sampling model with its identity: ``sha256`` of its file, its ``config``, ``vae_sha256`` of the network that decodes its latents,
    ``codes_sha256`` of the second stage whose codes it samples ("": it samples latents) with the ``expander`` that decodes them,
    and its ``card`` (data, steps, metrics; JSON values)."""

    model: LatentDiffusion
    config: DiffusionConfig
    sha256: str
    vae_sha256: str
    card: dict[str, Any]
    codes_sha256: str = ""
    expander: ExpanderWeights | None = None

    def latent(
        self,
        device: torch.device,
        steps: int,
        seed: int,
        condition: Tensor,
        progress: Callable[[float], None] = lambda fraction: None,
        renewal: float = 0.0,
        guidance: float = 1.0,
    ) -> Tensor:
        """The latent (1, channels, *S) of a head: see :meth:`LatentDiffusion.sample`. Raises WeightsError when a model of codes has no
        second-stage decoder: see :func:`sampling_weights`."""
        if self.codes_sha256 and self.expander is None:
            raise WeightsError("The sampling model samples codes, and its second-stage decoder is not loaded. Load both together.")
        drawn = self.model.to(device).sample(steps, seed, condition, progress, renewal, guidance)
        if self.expander is None:
            return drawn
        with torch.inference_mode():
            return self.expander.network.to(device).latent(drawn)


def save_sampler(model: LatentDiffusion, vae_sha256: str, card: dict[str, Any], path: Path, codes_sha256: str = "") -> str:
    """Write the network's weights in the format of :mod:`.storage`, moments in full, with configuration and card to ``path``
    (.safetensors); returns its SHA-256.

    Raises WeightsError when a stored weight is not finite.
    """
    tensors = stored(model.state_dict(), STEP, lambda name: None if name.startswith(_PACKED) else torch.float32)
    check_finite(restored(tensors), path)
    described = {"format": FORMAT, "config": json.dumps(model.config.mapping()), "card": json.dumps(card)}
    described |= {"vae_sha256": vae_sha256, CODES_SHA256: codes_sha256}
    return write_tensors(tensors, described, path)


def load_sampler(path: Path, sha256: str | None = None) -> SamplerWeights:
    """Read weights; the file must have this ``sha256``. Raises WeightsError when the file is missing, damaged or of another kind."""
    metadata, tensors, found = read_tensors(path, sha256, RETRAIN)
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path.name} holds other weights than this version's sampling model. Use the weights of the same version.")
    check_finite(tensors, path)
    vae_sha256, codes_sha256 = identities(metadata, path, RETRAIN, "vae_sha256", CODES_SHA256)
    model, card = network_of(metadata, tensors, lambda config: LatentDiffusion(DiffusionConfig.from_mapping(config)), path, RETRAIN)
    return SamplerWeights(model, model.config, found, vae_sha256, card, codes_sha256)


def sampling_weights(sampler: Path | None = None, vae: Path | None = None) -> tuple[SamplerWeights, Weights]:
    """The sampling model and the network that decodes its samples: from files, or the installed ones. The second-stage decoder of a
    model of codes is beside it.

    Raises WeightsError when one is missing or unusable, or when they do not belong together.
    """
    model = load_sampler(*(installed_weights(KIND) if sampler is None else (sampler, None)))
    decoder = load_weights(*(installed_weights("vae") if vae is None else (vae, None)))
    if decoder.sha256 != model.vae_sha256:
        raise WeightsError(
            f"The sampling model was trained for another network (SHA-256 {model.vae_sha256[:12]}…) than {decoder.sha256[:12]}…. "
            "Use weights of one version."
        )
    return with_expander(model, sampler), decoder


def with_expander(model: SamplerWeights, sampler: Path | None) -> SamplerWeights:
    """A model of codes with its second-stage decoder, from beside its file ``sampler`` or installed; a model of latents unchanged.

    Raises WeightsError when the decoder is missing or does not belong to it.
    """
    if not model.codes_sha256:
        return model
    beside = installed_weights(condenser_weights.KIND) if sampler is None else (sampler.with_name(condenser_weights.FILE), None)
    expander = load_expander(*beside)
    if (expander.codes_sha256, expander.vae_sha256) != (model.codes_sha256, model.vae_sha256):
        raise WeightsError(
            f"The sampling model samples other codes (SHA-256 {model.codes_sha256[:12]}…) than its second-stage decoder reads "
            f"({expander.codes_sha256[:12]}…). Use weights of one version."
        )
    return replace(model, expander=expander)
