"""Objectives of batches: of labels where the truth is known, else of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.vae import TissuePrediction

from .adversary import Adversary
from .batch import Batch, LabelBatch, SignalBatch
from .differentiable_rendering import expected_images, render, with_gain_and_field
from .losses import class_loss, dice, squared_error, tissue_prior, values_loss
from .perceptual import PerceptualLoss
from .vae_config import VaeTrainingConfig
from .vae_with_gains import Found

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_WATCHED = ("white_matter", "cortex", "csf", "deep_grey", "lesion")


class Objective:
    """Losses of one kind of batch. ``weights`` are those of the losses by name, in the order of the log's columns."""

    scored: ClassVar[tuple[str, ...]] = ()
    """Names of what :meth:`scores` returns."""
    weights: dict[str, float]
    also_logged: tuple[str, ...] = ()
    """Names of what :meth:`follow_up` returns."""
    warm: bool = False
    """Whether the training is in the warm-up without the adversarial loss."""

    def losses(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Losses of a ``model`` (called as :class:`~.generator.Generator`) by name, each a scalar without its weight."""
        raise NotImplementedError

    def follow_up(self) -> dict[str, float]:
        """Further training after the network's step; returns its losses."""
        return {}

    def scores(self, model: nn.Module, batch: Any) -> dict[str, float]:
        """Scores of a model on held-out data, by name."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """State for the checkpoint, by key."""
        return {}


class LabelObjective(Objective):
    """Label maps: cross-entropy of the classes, and the likelihood of the tissues' values."""

    scored = tuple(f"dice_{name}" for name in _WATCHED)

    def __init__(self, config: VaeTrainingConfig) -> None:
        self.weights = {"class": 1.0, "values": config.values_weight, "kl": config.kl_weight}

    def losses(self, model: nn.Module, batch: LabelBatch) -> dict[str, Tensor]:
        posterior, prediction, _ = model(batch.images, batch.conditions, batch.present)
        return {
            "class": class_loss(prediction, batch.tissue),
            "values": values_loss(prediction, batch.offset, batch.tissue),
            "kl": posterior.divergence(),
        }

    @torch.no_grad()
    def scores(self, model: nn.Module, batch: LabelBatch) -> dict[str, float]:
        """Dice of the watched classes."""
        _, prediction, _ = model(batch.images, batch.conditions, batch.present)
        return {f"dice_{name}": score for name, score in dice(prediction, batch.tissue, _WATCHED).items()}


class ImageObjective(Objective):
    """Images: rendered by the signal equations, compared with all images of the session."""

    scored = ("psnr",)

    def found(self, model: nn.Module, batch: SignalBatch) -> Found:
        """The model's forward pass."""
        return model(batch.images, batch.conditions, batch.present, batch.targets)

    def rendered(self, found: Found, batch: SignalBatch) -> Tensor:
        """The images (B, M, *S) rendered from the result of a forward pass, in the unit of the targets."""
        raise NotImplementedError

    @torch.no_grad()
    def scores(self, model: nn.Module, batch: SignalBatch) -> dict[str, float]:
        """Peak signal-to-noise ratio in dB; the peak is the level at which inputs are scaled to 1."""
        rendered = self.rendered(self.found(model, batch), batch)
        return {"psnr": float(-10.0 * torch.log10(squared_error(rendered / batch.scale, batch.images, batch.known)))}


class TissueSignalObjective(ImageObjective):
    """Images under a decoder of classes: squared error of the expected signal, after the best gain and linear field of each image."""

    def __init__(self, config: VaeTrainingConfig) -> None:
        self.weights = {"signal": config.signal_weight, "kl": config.kl_weight}

    def rendered(self, found: Found, batch: SignalBatch) -> Tensor:
        expected = expected_images(cast(TissuePrediction, found[1]), batch.equations(), batch.field_strengths)
        return with_gain_and_field(expected, batch.targets, batch.known)

    def losses(self, model: nn.Module, batch: SignalBatch) -> dict[str, Tensor]:
        found = self.found(model, batch)
        # each image in units of its own level, so that the free gains do not weight the contrasts
        error = squared_error(self.rendered(found, batch) / batch.scale, batch.images, batch.known)
        return {"signal": error, "kl": found[0].divergence()}


class SignalObjective(ImageObjective):
    """The paper's losses: L2 of the rendered images in raw units, KL, and those of the others whose weight is not 0.

    Perceptual and adversarial loss see the images over their levels, so that every contrast spans the same grey values.
    """

    def __init__(self, fabric: Fabric, dims: int, config: VaeTrainingConfig, state: dict[str, Any]) -> None:
        weights = {
            "signal": config.signal_weight, "kl": config.kl_weight, "perceptual": config.perceptual_weight,
            "adversarial": config.adversarial_weight, "prior": config.tissue_prior,
        }  # fmt: skip
        self.weights = {name: weight for name, weight in weights.items() if weight or name in ("signal", "kl")}
        self.fabric = fabric
        self.perceptual = PerceptualLoss().to(fabric.device) if "perceptual" in self.weights else None
        self.adversary = Adversary(fabric, dims, config, state) if "adversarial" in self.weights else None
        self.also_logged = () if self.adversary is None else ("discriminator",)
        self.pair: tuple[Tensor, Tensor] | None = None

    def rendered(self, found: Found, batch: SignalBatch) -> Tensor:
        _, theta, log_gain = found
        images = render(cast(Tensor, theta), batch.equations())
        return images if log_gain is None else images * log_gain.exp().view(batch.scale.shape)

    def losses(self, model: nn.Module, batch: SignalBatch) -> dict[str, Tensor]:
        found = self.found(model, batch)
        rendered = self.rendered(found, batch)
        losses = {"signal": squared_error(rendered, batch.targets, batch.known), "kl": found[0].divergence()}
        given = batch.given
        acquired = batch.images[given][:, None]
        # without acquired data there is nothing to discriminate
        shown = torch.where(batch.known, rendered / batch.scale, batch.images)[given][:, None]
        if self.perceptual is not None:
            with self.fabric.autocast():
                losses["perceptual"] = self.perceptual(shown, acquired)
        self.pair = None
        if self.adversary is not None and not self.warm:
            losses["adversarial"] = self.adversary.loss(shown)
            self.pair = acquired, shown.detach()
        if "prior" in self.weights:
            losses["prior"] = tissue_prior(cast(Tensor, found[1]))
        return losses

    def follow_up(self) -> dict[str, float]:
        """The discriminator's step on the images of :meth:`losses`."""
        if self.adversary is None or self.pair is None:
            return {}
        return {"discriminator": self.adversary.learn(*self.pair)}

    def state(self) -> dict[str, Any]:
        return {} if self.adversary is None else {"adversary": self.adversary.state()}


def objectives_for(
    kinds: frozenset[type[Batch]], shape: NetworkConfig, fabric: Fabric, config: VaeTrainingConfig, state: dict[str, Any]
) -> dict[type[Batch], Objective]:
    """The objective of each kind of batch; ``state`` is what a checkpoint holds of the discriminator, or empty."""
    found: dict[type[Batch], Objective] = {}
    if LabelBatch in kinds:
        found[LabelBatch] = LabelObjective(config)
    if SignalBatch in kinds:
        exp = shape.head == "exp"
        found[SignalBatch] = SignalObjective(fabric, shape.spatial_dims, config, state) if exp else TissueSignalObjective(config)
    return found
