"""The same answer on every processor: instructions that some lack, other linear algebra, and more threads round differently, no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from Testing.fitting.processor import fitted_with

_WIDE = " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
OLDER = {"NPY_DISABLE_CPU_FEATURES": _WIDE, "OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1"}
TWO_THREADS = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}


def test_an_older_processor_and_two_threads_find_the_same(tmp_path: Path) -> None:
    older, here = fitted_with(OLDER, tmp_path / "older.npz"), fitted_with(TWO_THREADS, tmp_path / "here.npz")
    if _WIDE:  # an old processor has nothing to switch off
        assert (older["voxels"] != here["voxels"]).any(), "the variables of the environment changed nothing"
    for name in ("tissues", "gains"):
        np.testing.assert_allclose(older[name], here[name], rtol=1e-3)
    apart = np.abs(older["voxels"] / here["voxels"] - 1.0)
    assert np.median(apart) < 1e-4
    assert np.percentile(apart, 99.9) < 1e-3
