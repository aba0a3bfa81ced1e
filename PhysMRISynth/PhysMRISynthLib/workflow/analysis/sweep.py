"""One parameter of a protocol swept through a range: the frames of a film."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError, ProtocolError, Remedy
from ...imaging.tissue_maps import TissueMaps
from ...physics.protocol import Protocol
from ..cohort.thumbnails import axial_plane
from ..rendering.render import render
from ..results.outputs import whole_folder

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter

_MOST_FRAMES = 500
_WIDTH = 4.0
"""Inches."""
_FRAMES_PER_SECOND = 8
_EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
"""Players want even sides."""


def swept(protocol: Protocol, parameter: str, values: Sequence[float]) -> list[Protocol]:
    """The protocol with each of ``values`` (ms, degrees) of a parameter. Raises ProtocolError for what cannot be."""
    if not 2 <= len(values) <= _MOST_FRAMES:
        raise ProtocolError(f"A sweep has 2 to {_MOST_FRAMES} frames, not {len(values)}.")
    name = protocol.sequence.parameter(parameter).name
    return [protocol.changed("sweep", None, **{name: float(value)}) for value in values]


def write_film(maps: TissueMaps, protocols: Sequence[Protocol], parameter: str, out: Path) -> None:
    """Write a film of the middle axial plane under each of the protocols, all in one window.

    ``out`` is the file: a GIF, or an MP4 where ffmpeg or the package imageio-ffmpeg is installed. Raises ImageError."""
    from matplotlib import rc_context
    from matplotlib.animation import FuncAnimation
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    writer = _writer(out)
    planes = _planes(maps, protocols)
    high = float(np.percentile(np.abs(planes), 99.5)) or 1.0
    low = -high if protocols[0].sequence.signed else 0.0
    figure = Figure(figsize=(_WIDTH, _WIDTH * planes.shape[1] / planes.shape[2] + 0.4), facecolor="black")
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0.0, 0.0, 1.0, 0.92))
    ax.set_axis_off()
    picture = ax.imshow(planes[0], cmap="gray", vmin=low, vmax=high)
    title = figure.suptitle("", color="white", fontsize=9)
    known = protocols[0].sequence.parameter(parameter)

    def show(number: int) -> None:
        picture.set_data(planes[number])
        title.set_text(f"SYNTHETIC {known.name} {protocols[number].values[known.name]:.4g} {known.unit}. Not for diagnosis.")

    film = FuncAnimation(figure, show, len(planes))
    with rc_context({"animation.ffmpeg_path": _ffmpeg() or ""}), whole_folder(out.parent, overwrite=True) as folder:
        film.save(folder / out.name, writer)


def _writer(out: Path) -> AbstractMovieWriter:
    """What writes a film of that name. Raises ImageError for other names, and for an MP4 without ffmpeg."""
    from matplotlib.animation import FFMpegWriter, PillowWriter

    if out.suffix.lower() == ".gif":
        return PillowWriter(fps=_FRAMES_PER_SECOND)
    if out.suffix.lower() != ".mp4":
        raise ImageError(f"{out.name} is not the name of a film.", Remedy.NAME_OUTPUT(suffix=".gif or .mp4"))
    if _ffmpeg() is None:
        raise ImageError(
            "An MP4 film needs the program ffmpeg, which was not found.",
            Remedy.INSTALL(packages="imageio-ffmpeg", extra="film"),
            Remedy.NAME_OUTPUT(suffix=".gif"),
        )
    return FFMpegWriter(fps=_FRAMES_PER_SECOND, codec="h264", extra_args=["-pix_fmt", "yuv420p", "-vf", _EVEN])


def _ffmpeg() -> str | None:
    """The program on the path, else that of the package imageio-ffmpeg; None where there is neither."""
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # the package holds no program for this system
        return None


def _planes(maps: TissueMaps, protocols: Sequence[Protocol]) -> np.ndarray:
    """The middle axial plane of the head, (frames, rows, columns); interpolated in the maps, once."""
    plane = _plane(maps)
    return np.stack([render(plane, protocol)[0] for protocol in protocols])


def _plane(maps: TissueMaps) -> TissueMaps:
    """The maps of that plane, with the fluid in its voxels."""

    def cut(values: np.ndarray) -> np.ndarray:
        outside = np.float32(-1.0)  # the plane is chosen by what is not 0
        return axial_plane(maps.image(np.where(maps.mask, values - outside, np.float32(0.0))))[None] + outside

    pd, t1, t2 = (cut(values) for values in (maps.pd, maps.t1, maps.t2))
    fraction = None if maps.fluid_fraction is None else cut(maps.fluid_fraction).clip(0.0, 1.0)
    grid = sitk.Image([pd.shape[2], pd.shape[1], 1], sitk.sitkFloat32)
    return TissueMaps(pd.clip(0.0), t1, t2, pd >= 0.0, grid, fluid_fraction=fraction, fluid=maps.fluid)
