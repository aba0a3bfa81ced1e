"""The driven panel for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from Testing.panel.estimates import FakeClient
from Testing.panel.harness import DrivenPanel, drivenPanel


@pytest.fixture
def client() -> FakeClient:
    """The worker's place is taken by a client that the test tells what to answer."""
    return FakeClient()


@pytest.fixture
def driven(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrivenPanel]:
    """The panel on an empty scene; VTK errors, Qt warnings and errors in slots fail the test."""
    monkeypatch.setattr("PhysMRISynthLib.mrml.estimation.newClient", lambda: client)
    with drivenPanel() as panel:
        yield panel
