"""Make Resources/patient.png: acquired FLAIR, T1 map and synthetic DIR of patient 12 of open_ms_data (CC BY).

Called by ``python3 dev.py figures DATA``; DATA holds t1w.nii.gz, t2w.nii.gz and flair.nii.gz of the first visit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import PhysMRISynthLib as pms
from PhysMRISynthLib.workflow.rendering.contrast_choice import caption, protocol_of
from PhysMRISynthLib.workflow.results.planes import SIDES, brain_centre, plane

OUT = Path(__file__).resolve().parents[2] / "Resources" / "patient.png"
PROTOCOLS = {"t1w": "se,TR=600,TE=15", "t2w": "tse,TR=4500,TE=100", "flair": "flair,TR=11000,TE=140,TI=2800"}
"""As published for the study; the files state none."""
INCHES, DPI = (9.6, 3.9), 100
CROP = np.s_[0:212, 22:198]
"""Of a plane of 220 mm, without most of the air."""
PALETTE_COLOURS = 200


def main(folder: Path) -> int:
    """Estimate the patient's maps, and draw."""
    files = {role: folder / f"{role}.nii.gz" for role in PROTOCOLS}
    missing = [str(file) for file in files.values() if not file.is_file()]
    if missing:
        print(f"{', '.join(missing)}: not found. Give the folder with the images of patient 12, visit 1, of open_ms_data.", file=sys.stderr)
        return 2
    estimate = pms.estimate(**files, protocols=PROTOCOLS, field_strength=1.5)
    print(estimate.verdict.sentence)
    grid, centre = estimate.maps.grid, brain_centre(estimate)
    protocol = protocol_of(estimate.maps, "synthetic-dir")
    dark = sitk.GetArrayFromImage(pms.render(estimate.maps, protocol))
    brain = estimate.brain
    acquired = estimate.inputs["flair"]
    panels = (
        ("Acquired FLAIR · TR 11000 TE 140 TI 2800", acquired, "gray", 0.0, float(np.percentile(acquired[brain], 99.5))),
        ("Estimated T1 (ms)", estimate.maps.t1, "inferno", 0.0, 2500.0),
        (f"Synthetic {caption(protocol)}", dark, "gray", 0.0, float(np.percentile(dark[brain], 99.7))),
    )
    figure = Figure(INCHES, facecolor="black")
    for ax, (title, voxels, colours, low, high) in zip(figure.subplots(1, 3), panels, strict=True):
        ax.imshow(plane(voxels, grid, centre)[CROP], cmap=colours, vmin=low, vmax=high, interpolation="bilinear")
        ax.set_title(title, color="white", fontsize=8.5)
        ax.axis("off")
        for side, x, align in zip(SIDES["axial"], (0.02, 0.98), ("left", "right"), strict=True):
            ax.text(x, 0.5, side, transform=ax.transAxes, color="white", fontsize=8, ha=align, va="center")
    figure.subplots_adjust(left=0.005, right=0.995, top=0.92, bottom=0.005, wspace=0.02)
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(DPI)
    canvas.draw()
    write_png(np.asarray(canvas.buffer_rgba())[..., :3], OUT)
    return 0


def write_png(pixels: np.ndarray, path: Path) -> None:
    """Write a picture (rows, columns, 3) of few colours: a third of the size."""
    from PIL import Image

    Image.fromarray(pixels).quantize(PALETTE_COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else (print(__doc__, file=sys.stderr) or 2))
