"""Films of one parameter: every frame is the image of its protocol."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.analysis.sweep import swept, write_film
from PhysMRISynthLib.workflow.examples.small_head import small_head

TIMES = [300.0, 1500.0, 2900.0]
PROTOCOLS = swept(protocol_from_spec("flair,TR=9000,TE=20,L=60"), "TI", TIMES)


def frames(path: Path) -> list[np.ndarray]:
    """The pictures of a GIF without their line of text, grey (rows, columns)."""
    with Image.open(path) as film:
        shown = [np.array(frame.convert("RGB"), dtype=float)[..., 0] for frame in ImageSequence.Iterator(film)]
    return [picture[len(picture) // 8 :] for picture in shown]


def test_frames_follow_the_parameter(tmp_path: Path) -> None:
    write_film(small_head().maps, PROTOCOLS, "TI", tmp_path / "ti.gif")
    found = frames(tmp_path / "ti.gif")
    assert len(found) == len(TIMES)
    fluid, tissue = found[0] > 245, (found[0] > 60) & (found[0] < 160)
    assert found[0][fluid].mean() > found[1][fluid].mean() + 50 > found[2][fluid].mean() + 50  # fluid comes to its null
    assert found[2][tissue].mean() > found[1][tissue].mean() + 30  # white and grey matter have passed theirs


def test_fluid_in_a_voxel_is_rendered_apart(tmp_path: Path) -> None:
    maps = small_head().maps
    fluid = (1.0, 4300.0, 2000.0)
    share = np.where(maps.mask, np.float32(0.4), np.float32(0.0))
    wet = replace(maps, fluid_fraction=share, fluid=fluid)
    for name, given in (("one", maps), ("two", wet)):
        write_film(given, PROTOCOLS, "TI", tmp_path / f"{name}.gif")
    one, two = (frames(tmp_path / f"{name}.gif")[2] for name in ("one", "two"))
    assert np.abs(one - two).mean() > 5


@pytest.mark.parametrize("system", [True, False], ids=["of the system", "of the package"])
def test_an_mp4_shows_every_frame(system: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("imageio_ffmpeg")
    program = package.get_ffmpeg_exe()
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if system:
        shutil.copy(program, tmp_path / "bin" / "ffmpeg")
        monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    write_film(small_head().maps, PROTOCOLS, "TI", tmp_path / "ti.mp4")
    subprocess.run([program, "-v", "error", "-i", str(tmp_path / "ti.mp4"), str(tmp_path / "frame%d.png")], check=True)
    pictures = [np.array(Image.open(tmp_path / f"frame{n}.png").convert("L"), dtype=float) for n in (1, 2, 3)]
    fluid = pictures[0][len(pictures[0]) // 8 :] > 240
    bright = [picture[len(picture) // 8 :][fluid].mean() for picture in pictures]
    assert bright[0] > bright[1] + 30 > bright[2] + 30
    assert not (tmp_path / "frame4.png").exists()
