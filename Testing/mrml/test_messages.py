"""No message that reaches a user of Slicer names an option of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import PhysMRISynthLib
from PhysMRISynthLib.mrml.messages import withoutOptions

LIBRARY = Path(PhysMRISynthLib.__file__).parent
LAYERS = ("physics", "imaging", "fitting", "network", "workflow", "mrml", "panel")
OWN = re.compile(r"--\w|command line|\bphysmrisynth (?:estimate|render|sample|demo)\b")
"""How a text names the command line; training is done nowhere else."""
ONLY_COMMAND_LINE = {"workflow/examples/demo.py", "workflow/examples/example.py", "imaging/map_files.py", "imaging/tissue_maps.py"}
"""Files that nothing in Slicer calls for: they write and read the command line's folders."""


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


def naming_the_command_line() -> list[str]:
    files = [file for layer in LAYERS for file in sorted((LIBRARY / layer).rglob("*.py"))]
    shown = [file for file in files if file.relative_to(LIBRARY).as_posix() not in ONLY_COMMAND_LINE and file.name != "messages.py"]
    return [text for file in shown for text in texts(file) if OWN.search(text) and " " in text.strip() and len(text) > 20]


def test_there_is_something_to_rewrite() -> None:
    assert any("--prior" in text for text in naming_the_command_line())


@pytest.mark.parametrize("text", naming_the_command_line())
def test_no_message_names_the_command_line_in_slicer(text: str) -> None:
    assert not OWN.search(withoutOptions(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Use --prior literature.", "Use prior literature."),
        ("Give --field-strength (1.5–3 T).", "Give field strength (1.5–3 T)."),
        ("or trust the files' coordinates with --no-register.", "or trust the files' coordinates by choosing registration 'never'."),
        ("Correct it, or give the protocol on the command line.", "Correct it, or give the protocol."),
        ("/x exists already. Choose another --out, or add --overwrite.", "/x exists already. Choose another folder, or add 'overwrite'."),
        (
            "Leave T1w out. Use --allow-contrast-agent to accept it anyway.",
            "Leave T1w out. Use 'Allow contrast agent' to accept it anyway.",
        ),
        ("Install them: pip install 'physmrisynth[dicom]'.", "Install them: slicer.util.pip_install('highdicom')."),
        ("a -- b, 3-4 and --", "a -- b, 3-4 and --"),
    ],
)
def test_options_become_what_slicer_calls_them(text: str, told: str) -> None:
    assert withoutOptions(text) == told
