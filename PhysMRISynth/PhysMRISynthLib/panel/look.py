"""Styles that the panel sets; both colours of each are fixed, so that they are readable with dark and light palettes."""

PRIMARY = (
    "QPushButton { background-color: #1f6fb2; color: white; border: none; border-radius: 4px; font-weight: bold; padding: 6px; }"
    "QPushButton:hover { background-color: #2a80c8; } QPushButton:pressed { background-color: #185a91; }"
    "QPushButton:disabled { background-color: rgba(128, 128, 128, 70); color: rgba(128, 128, 128, 255); }"
)
"""The button that the user came for."""
PLAIN = ""
"""A button in Slicer's own style."""
MARKED = '<span style="background-color: #ffe9a8; color: #3f3000">&nbsp;{}&nbsp;</span>'
"""Rich text that catches the eye: what is assumed, wrong or out of range."""
