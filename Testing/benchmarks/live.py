"""Time from a moved slider to new voxels of three orthogonal slices and of the volume, against the plain NumPy expression over all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle

import numpy as np
import SimpleITK as sitk
from render import FLAIR, SHAPE, _best, _ellipsoid, _maps

from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.rendering.live import LiveRenderer, Noise, Region

SLICES = Region(tuple((axis, n // 2) for axis, n in enumerate(SHAPE)))
CASES = {"FLAIR": (FLAIR, None), "exact MPRAGE": (Protocol.of("mprage"), None), "noisy FLAIR": (FLAIR, Noise(30.0))}
SCALE = 1000.0


def main() -> None:
    head = _ellipsoid()
    for tissue, mask in {"head in air": head, "tissue everywhere": np.ones_like(head)}.items():
        _compare(tissue, TissueMaps(*_maps(mask), mask, sitk.Image(SHAPE[::-1], sitk.sitkUInt8)))


def _compare(tissue: str, maps: TissueMaps) -> None:
    renderer, out = LiveRenderer(maps), np.zeros(SHAPE, dtype=np.float32)
    for name, (protocol, noise) in CASES.items():
        slices, volume, plain = _best(
            _slider(protocol, partial(renderer.render_region, out=out, region=SLICES, noise=noise, scale=SCALE)),
            _slider(protocol, partial(renderer.render, out=out, noise=noise, scale=SCALE)),
            _slider(protocol, partial(Protocol.signal, pd=maps.pd, t1=maps.t1, t2=maps.t2)),
        )
        for what, seconds in {"three slices": slices, "volume 160x224x160": volume}.items():
            ratio = f"{seconds / plain:.2f} x plain NumPy expression over the volume"
            print(f"live {name}, {tissue}, {what}: {seconds:.4f} s, {ratio}", flush=True)


def _slider(protocol: Protocol, show: Callable[[Protocol], object]) -> Callable[[], object]:
    """One move of the inversion time's slider, to another value every time."""
    values = cycle(np.linspace(1.0, 1.2, 7) * protocol.values["TI"])
    return lambda: show(protocol.changed("slider", TI=next(values)))


if __name__ == "__main__":
    main()
