"""A stand-in for slicer.i18n in a Slicer that speaks English."""

from __future__ import annotations


def tr(text: str) -> str:
    return text


def translate(context: str, text: str) -> str:
    return text
