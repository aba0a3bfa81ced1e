"""Location of the package's files: tables, atlas, weights, templates."""

from __future__ import annotations

from pathlib import Path

RESOURCES = Path(__file__).parent / "resources"
