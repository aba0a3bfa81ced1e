"""The embedded example: a head of known maps built from the ICBM 2009a template that nilearn's package carries.

The template's grey- and white-matter maps become PD, T1 and T2; fluid, skull and scalp are added around them. No trained model and
no patient's image is involved, so the example's error against the truth is an independent check.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...errors import EstimationError
from ...imaging.head.known_head import KnownHead
from ...imaging.intake.volumes import image_like
from ...imaging.tissue_maps import TissueMaps
from ...physics.tissues import tissue_table

_SKULL_MM, _SCALP_MM = 6.0, 13.0
_SPREAD = np.array([0.03, 0.06, 0.08])
_TEXTURE = 0.02
_SURE = 0.9
_TILT_DEGREES = (6.0, -4.0, 9.0)


def _template(name: str) -> sitk.Image:
    package = find_spec("nilearn")
    if package is None or package.origin is None:
        raise EstimationError("The example needs the package 'nilearn', which carries its anatomy: pip install nilearn.")
    path = Path(package.origin).parent / "datasets" / "data" / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.exists():
        raise EstimationError(f"This version of nilearn lacks {path.name}. Install nilearn 0.12 or later.")
    return sitk.ReadImage(str(path), sitk.sitkFloat32)


def example_head(seed: int = 0) -> KnownHead:
    """The example's maps at 3 T, with tissue values sampled around the literature's (SD 3, 6 and 8 % for PD, T1, T2) by ``seed``."""
    rng = np.random.default_rng(seed)
    template = _template("t1")
    fractions = _fractions(template)
    table = tissue_table()
    theta = np.stack([t.theta + rng.normal(0.0, _SPREAD) for t in table]).astype(np.float32)
    rows = [[t.name for t in table].index(name) for name in fractions]
    stack = np.stack(list(fractions.values()))
    logs = np.tensordot(theta[rows].T, stack, axes=1)
    logs += _TEXTURE * rng.standard_normal(logs.shape, dtype=np.float32)
    tissue = np.where(stack.max(axis=0) > _SURE, np.array(rows, dtype=np.uint8)[stack.argmax(axis=0)], 255).astype(np.uint8)
    pd, t1, t2 = np.exp(logs)
    mask = fractions["air"] < 0.5
    return KnownHead(TissueMaps(pd, t1, t2, mask, _tilted(template), provenance={"source": "simulated example"}), tissue)


def _fractions(template: sitk.Image) -> dict[str, np.ndarray]:
    """Tissue fractions (z, y, x) by name; they sum to one."""
    white, grey = (sitk.GetArrayFromImage(_template(name)) / np.float32(255.0) for name in ("wm", "gm"))
    brain = sitk.GetArrayFromImage(template) > 0
    total = np.maximum(white + grey, 1.0)
    white, grey = brain * white / total, brain * grey / total
    outside = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image_like(brain.astype(np.uint8), template), squaredDistance=False, useImageSpacing=True)
    )
    shell = {
        "csf": brain - white - grey,
        "bone": ~brain & (outside <= _SKULL_MM),
        "fat": (outside > _SKULL_MM) & (outside <= _SCALP_MM),
        "air": outside > _SCALP_MM,
    }
    return {"white_matter": white, "cortex": grey} | {name: np.asarray(part, dtype=np.float32) for name, part in shell.items()}


def _tilted(template: sitk.Image) -> sitk.Image:
    """The template on a tilted grid, so that the example has an oblique geometry like a real scan."""
    tilt = sitk.Euler3DTransform()
    tilt.SetRotation(*np.radians(_TILT_DEGREES).tolist())
    matrix = np.reshape(tilt.GetMatrix(), (3, 3))
    tilted = sitk.Image(template)
    tilted.SetDirection((matrix @ np.reshape(template.GetDirection(), (3, 3))).ravel().tolist())
    tilted.SetOrigin((matrix @ np.array(template.GetOrigin())).tolist())
    return tilted
