"""What users are told to do: every skin has words for every remedy, and the library itself speaks of no skin."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import PhysMRISynthLib
from PhysMRISynthLib.cli import remedies as command_line
from PhysMRISynthLib.errors import ARGUMENTS, PLAIN, ImageError, PhysMRISynthError, Remedy, Step, Words, speaking
from PhysMRISynthLib.workflow.console_words import console_words

LIBRARY = Path(PhysMRISynthLib.__file__).parent
SKINS = (LIBRARY / "cli", LIBRARY / "errors.py", LIBRARY / "workflow" / "console_words.py")
OWN = re.compile(r"(?<![\w-])--[a-z]|on the command line|\bphysmrisynth (?:estimate|render|sample|demo)\b|pip install|physmrisynth\[")
"""How a text names the command line."""
ALLOWED = {"pip install nilearn": "a package of the demonstration, which Slicer does not have"}


def texts(file: Path) -> Iterator[str]:
    """Every text of a module but its docstrings, with "x" for what is put in."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def test_no_message_of_the_library_names_an_option() -> None:
    files = [file for file in sorted(LIBRARY.rglob("*.py")) if not any(file.is_relative_to(skin) for skin in SKINS)]
    found = {file.name: [text for text in texts(file) if OWN.search(text) and " " in text] for file in files}
    assert {name: named for name, named in found.items() if [text for text in named if not any(part in text for part in ALLOWED)]} == {}


@pytest.mark.parametrize(
    "words", [PLAIN, command_line.WORDS, console_words(), console_words(str.upper)], ids=["plain", "cli", "pms", "slicer"]
)
def test_every_remedy_has_words_in_every_skin(words: Words) -> None:
    """Those of the panel are looked at in Testing/panel."""
    assert set(words) == set(Remedy)
    for remedy, text in words.items():
        named = {name for _, name, _, _ in Formatter().parse(text) if name}
        assert text and named <= set(ARGUMENTS.get(remedy, ())), remedy


def test_a_skin_offers_what_helps_in_its_own_words() -> None:
    error = ImageError("maps exists already.", Remedy.CHOOSE_OUTPUT, Remedy.OVERWRITE)
    assert error.told(command_line.WORDS) == "maps exists already. Choose another --out, or add --overwrite."
    assert str(error) == "maps exists already. Choose another place for the results, or allow overwriting."
    with pytest.raises(PhysMRISynthError, match="overwrite=True"), speaking(console_words()):
        raise error


@pytest.mark.parametrize("step", [Step(Remedy.OVERWRITE), Remedy.GIVE_PROTOCOL(form=": se,…"), Remedy.DO(this="mend it")])
def test_a_remedy_passes_through_json(step: Step) -> None:
    assert Step.from_json({name: str(value) for name, value in step.as_json().items()}) == step


@pytest.mark.parametrize("told", [{"remedy": "PRAY"}, {"remedy": "DO"}, {"remedy": "OVERWRITE", "this": "x"}, {}])
def test_a_remedy_that_does_not_exist_is_refused(told: dict[str, str]) -> None:
    with pytest.raises((LookupError, ValueError)):
        Step.from_json(told)
