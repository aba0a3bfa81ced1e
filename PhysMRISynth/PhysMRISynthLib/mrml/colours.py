"""Colour maps whose lightness tells the value: computed in CIELAB, evenly spaced for the eye, and safe for colour-blind readers.

CIELAB and sRGB: IEC 61966-2-1 and CIE 15 (white point D65). Steps are measured by the CIE 1976 colour difference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

COUNT = 256
_WHITE = np.array([0.95047, 1.0, 1.08883])
_XYZ_TO_RGB = np.array([[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]])
_FINE = 4096
_EASE = 1.2
"""How gently colour comes in at the dark end and goes at the light one, where a screen can show little of it."""


def srgbFromLab(lab: np.ndarray) -> np.ndarray:
    """sRGB (…, 3) in 0 to 1 of CIELAB colours (…, 3); colours that a screen cannot show lie outside that range."""
    lightness, a, b = np.moveaxis(np.asarray(lab, dtype=float), -1, 0)
    y = (lightness + 16.0) / 116.0
    root = np.stack([y + a / 500.0, y, y - b / 200.0], axis=-1)
    xyz = np.where(root > 6.0 / 29.0, root**3, 3.0 * (6.0 / 29.0) ** 2 * (root - 4.0 / 29.0)) * _WHITE
    linear = xyz @ _XYZ_TO_RGB.T
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.cbrt(np.abs(linear)) ** (3.0 / 2.4) * np.sign(linear) - 0.055)


def _canBeShown(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> bool:
    rgb = srgbFromLab(_lab(lightness, chroma, hue))
    return bool(((rgb >= 0.0) & (rgb <= 1.0)).all())


def _lab(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    return np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)


def _evenly(path: np.ndarray, count: int) -> np.ndarray:
    """``count`` colours along a fine path (n, 3) in CIELAB, with the same colour difference from one to the next."""
    travelled = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    wanted = np.linspace(0.0, travelled[-1], count)
    return np.stack([np.interp(wanted, travelled, path[:, channel]) for channel in range(3)], axis=-1)


def _sequential(
    hues: tuple[float, float], lightness: tuple[float, float], most: float = 128.0, count: int = COUNT, bend: float = 1.0
) -> np.ndarray:
    """A path from dark to light in CIELAB, (count, 3), whose hue turns between two angles (degrees).

    It is as colourful as a screen can show, but in its middle no more than ``most``; with a ``bend`` below 1 it stays colourful to its
    light end.
    """
    t = np.linspace(0.0, 1.0, _FINE)
    light = lightness[0] + (lightness[1] - lightness[0]) * t
    hue = np.radians(hues[0] + (hues[1] - hues[0]) * t)
    shape = np.sin(np.pi * bend * t) ** _EASE
    low, high = 0.0, most
    for _ in range(20):
        chroma = (low + high) / 2.0
        low, high = (chroma, high) if _canBeShown(light, chroma * shape, hue) else (low, chroma)
    return _evenly(_lab(light, low * shape, hue), count)


def _diverging() -> np.ndarray:
    """Light blue over black to light orange: what is explained stays dark, and both signs are equally light."""
    below = _sequential((290.0, 260.0), (0.0, 80.0), 47.0, COUNT // 2, 0.75)
    above = _sequential((45.0, 75.0), (0.0, 80.0), 47.0, COUNT // 2, 0.75)
    return np.concatenate([below[::-1], above])


_MAPS: dict[str, Callable[[], np.ndarray]] = {
    "density": lambda: _sequential((265.0, 235.0), (0.0, 99.0), most=14.0),
    "warm": lambda: _sequential((-60.0, 100.0), (0.0, 98.0)),
    "cool": lambda: _sequential((298.0, 232.0), (0.0, 98.0)),
    "uncertainty": lambda: _sequential((350.0, 325.0), (0.0, 96.0)),
    "residual": _diverging,
}
NAMES = tuple(_MAPS)


@cache
def labColours(name: str) -> np.ndarray:
    """The colours of a map in CIELAB, (256, 3), from its lowest to its highest value."""
    return _MAPS[name]()


def rgbColours(name: str) -> np.ndarray:
    """The colours of a map in sRGB, (256, 3), 0 to 1. ``name`` is density, warm, cool, uncertainty or residual."""
    return np.clip(srgbFromLab(labColours(name)), 0.0, 1.0)
