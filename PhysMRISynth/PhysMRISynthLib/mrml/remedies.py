"""How Slicer's scripts word what to do: by arguments that are spelt in its way."""

from ..workflow.console_words import console_words
from .orders import camelCase

SCRIPT = console_words(camelCase)
