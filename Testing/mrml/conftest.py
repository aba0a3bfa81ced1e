"""The headless Slicer for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from Testing.mrml.scene import HeadlessSlicer, headless_slicer


@pytest.fixture
def headless() -> Iterator[HeadlessSlicer]:
    """A real MRML scene with slice views; any VTK error fails the test."""
    with headless_slicer() as made:
        yield made
