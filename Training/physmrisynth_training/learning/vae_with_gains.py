"""The jointly trained modules: the network and, with gain regression, its CNN."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from PhysMRISynthLib.network.blocks import convolution
from PhysMRISynthLib.network.vae import Posterior, TissuePrediction, TissueVAE

_WIDTHS = (1, 16, 32, 64)

Found = tuple[Posterior, TissuePrediction | Tensor, Tensor | None]
"""The latent's distribution, the decoder's prediction, and the log gain of each image (B, M)."""


class GainNetwork(nn.Module):
    """Log gain (B, M) of unscaled images (B, M, *S), each by itself; 0 before training.

    Strided convolutions and a mean over the image. The paper regresses "the scanner gain G using a convolutional neural network"
    without further details: the shape is an assumption.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(convolution(dims, a, b, 2, 2) for a, b in pairwise(_WIDTHS))
        self.out = nn.Linear(_WIDTHS[-1], 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(0, 1)[:, None]
        for down in self.down:
            x = functional.silu(cast(Tensor, down(x)))
        return cast(Tensor, self.out(x.flatten(2).mean(dim=2))).view(images.shape[:2]).float()


class Generator(nn.Module):
    """The network, and a gain network or None."""

    def __init__(self, network: TissueVAE, gain: GainNetwork | None = None) -> None:
        super().__init__()
        self.network, self.gain = network, gain

    def forward(self, images: Tensor, conditions: Tensor, present: Tensor, targets: Tensor | None = None) -> Found:
        posterior, expected = self.network(images, conditions, present)
        log_gain = None if self.gain is None or targets is None else self.gain(targets)
        return posterior, expected, log_gain
