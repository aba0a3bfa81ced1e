"""Sphinx builds the guide with `python3 dev.py docs`; warnings are errors."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "PhysMRISynth"), str(ROOT / "Training")]

import PhysMRISynthLib  # noqa: E402

project = "PhysMRISynth"
copyright = "PhysMRISynth team, Apache-2.0"
version = release = PhysMRISynthLib.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"PhysMRISynth {release}"
html_logo = "../PhysMRISynth.png"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing_source"]
autodoc_typehints = "none"
autodoc_preserve_defaults = True
add_module_names = False
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
