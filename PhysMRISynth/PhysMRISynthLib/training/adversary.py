"""A discriminator that learns to tell what a network makes from what it should be like, patch by patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

import torch
from torch import Tensor, nn

from ..errors import PhysMRISynthError
from .descent import descend

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class AdversaryConfig(Interface):
    """The part of a training's configuration that its adversary follows."""

    @property
    def discriminator_channels(self) -> int: ...

    @property
    def discriminator_layers(self) -> int: ...

    @property
    def discriminator_rate(self) -> float: ...

    @property
    def gradient_clip(self) -> float: ...


class Discriminator(nn.Module):
    """MONAI's patch discriminator of images (N, ``inputs``, *S), whose convolutions span ``side`` positions; called with acquired and
    rendered ones, it gives its own least-squares loss. With ``levelled`` every batch is normalised, so that how much contrast it has
    cannot give it away."""

    def __init__(self, dims: int, channels: int, layers: int, inputs: int = 1, side: int = 4, levelled: bool = True) -> None:
        super().__init__()
        from monai.losses.adversarial_loss import PatchAdversarialLoss
        from monai.networks.nets.patchgan_discriminator import PatchDiscriminator

        norm: Any = "BATCH" if levelled else None
        self.patches = PatchDiscriminator(dims, channels, inputs, num_layers_d=layers, kernel_size=side, norm=norm)
        self.loss = PatchAdversarialLoss()

    def forward(self, acquired: Tensor, rendered: Tensor) -> Tensor:
        losses = [self._loss(images, real, True) for images, real in ((rendered, False), (acquired, True))]
        return 0.5 * (losses[0] + losses[1])

    def fooled(self, rendered: Tensor) -> Tensor:
        """How far rendered images are from being taken for acquired ones; the discriminator gets no gradient from it."""
        self.patches.requires_grad_(False)
        loss = self._loss(rendered, True, False)
        self.patches.requires_grad_(True)
        return loss

    def _loss(self, images: Tensor, real: bool, own: bool) -> Tensor:
        return self.loss(self.patches(images)[-1].float(), target_is_real=real, for_discriminator=own)


class Adversary:
    """A discriminator with its optimiser (Adam, at a rate of its own); ``shape`` is what else :class:`Discriminator` takes."""

    def __init__(self, fabric: Fabric, dims: int, config: AdversaryConfig, state: dict[str, Any], **shape: Any) -> None:
        self.fabric, self.greatest_norm = fabric, config.gradient_clip
        self.discriminator = Discriminator(dims, config.discriminator_channels, config.discriminator_layers, **shape)
        optimizer = torch.optim.Adam(self.discriminator.parameters(), config.discriminator_rate)
        if state:
            try:
                self.discriminator.load_state_dict(state["discriminator"])
                optimizer.load_state_dict(state["optimizer"])
            except (LookupError, RuntimeError, ValueError):
                raise PhysMRISynthError("The checkpoint has another discriminator. Keep its channels and layers, or start anew.") from None
            for group in optimizer.param_groups:
                group["lr"] = config.discriminator_rate
        self.model, self.optimizer = fabric.setup(self.discriminator, optimizer)

    def loss(self, rendered: Tensor) -> Tensor:
        """What the rendered images (N, 1, *S) cost their maker."""
        with self.fabric.autocast():
            return self.discriminator.fooled(rendered)

    def learn(self, acquired: Tensor, rendered: Tensor) -> float:
        """One step of the discriminator; returns its loss."""
        loss = self.model(acquired, rendered.detach())
        descend(self.fabric, self.model, self.optimizer, loss, self.greatest_norm)
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}
