"""A discriminator of rendered and acquired images, patch by patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from PhysMRISynthLib.errors import PhysMRISynthError

from .optimiser_step import descend
from .vae_config import VaeTrainingConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Discriminator(nn.Module):
    """MONAI's patch discriminator of images (N, 1, *S); called with acquired and rendered ones, it returns its least-squares loss."""

    def __init__(self, dims: int, channels: int, layers: int) -> None:
        super().__init__()
        from monai.losses.adversarial_loss import PatchAdversarialLoss
        from monai.networks.nets.patchgan_discriminator import PatchDiscriminator

        self.patches = PatchDiscriminator(dims, channels, in_channels=1, num_layers_d=layers)
        self.loss = PatchAdversarialLoss()

    def forward(self, acquired: Tensor, rendered: Tensor) -> Tensor:
        losses = [self._loss(images, real, True) for images, real in ((rendered, False), (acquired, True))]
        return 0.5 * (losses[0] + losses[1])

    def fooled(self, rendered: Tensor) -> Tensor:
        """Adversarial loss of rendered images; the discriminator gets no gradient from it."""
        self.patches.requires_grad_(False)
        loss = self._loss(rendered, True, False)
        self.patches.requires_grad_(True)
        return loss

    def _loss(self, images: Tensor, real: bool, own: bool) -> Tensor:
        return self.loss(self.patches(images)[-1].float(), target_is_real=real, for_discriminator=own)


class Adversary:
    """A discriminator with its own optimiser (Adam)."""

    def __init__(self, fabric: Fabric, dims: int, config: VaeTrainingConfig, state: dict[str, Any]) -> None:
        self.fabric, self.greatest_norm = fabric, config.gradient_clip
        self.discriminator = Discriminator(dims, config.discriminator_channels, config.discriminator_layers)
        optimizer = torch.optim.Adam(self.discriminator.parameters(), config.discriminator_rate)
        if state:
            try:
                self.discriminator.load_state_dict(state["discriminator"])
                optimizer.load_state_dict(state["optimizer"])
            except (LookupError, RuntimeError, ValueError):
                raise PhysMRISynthError("The checkpoint has another discriminator. Keep its channels and layers, or restart.") from None
            for group in optimizer.param_groups:  # apply a changed configuration
                group["lr"] = config.discriminator_rate
        self.model, self.optimizer = fabric.setup(self.discriminator, optimizer)

    def loss(self, rendered: Tensor) -> Tensor:
        """Adversarial loss of the network for rendered images (N, 1, *S)."""
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
