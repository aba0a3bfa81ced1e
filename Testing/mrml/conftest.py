"""The headless Slicer for the tests of this folder."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import slicer

from Testing.mrml.scene import HeadlessSlicer, headless_slicer
from Testing.panel.estimates import FakeClient
from Testing.standins import Standins, install


@pytest.fixture
def headless() -> Iterator[HeadlessSlicer]:
    """A real MRML scene with slice views; any VTK error fails the test."""
    with headless_slicer() as made:
        yield made


@pytest.fixture
def standins(headless: HeadlessSlicer) -> Standins:
    """What Slicer's modules offer beside MRML."""
    return install(slicer, headless.scene)


@pytest.fixture
def client() -> FakeClient:
    """The worker's place is taken by a client that the test tells what to answer."""
    return FakeClient()


@pytest.fixture
def logic(standins: Standins, client: FakeClient) -> Any:
    """The module's logic with that client."""
    return importlib.import_module("PhysMRISynth").PhysMRISynthLogic(client)
