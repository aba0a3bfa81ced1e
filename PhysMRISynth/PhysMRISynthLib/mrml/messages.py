"""What the library says to users of its command line, in words that make sense in Slicer."""

from __future__ import annotations

import re

_WORDS = {
    "with --no-register": "by choosing registration 'never'",
    "--no-register": "registration 'never'",
    "--register": "registration 'always'",
    " on the command line": "",
    "--allow-contrast-agent": "'Allow contrast agent'",
    "--overwrite": "'overwrite'",
    "--out": "folder",
    "pip install 'physmrisynth[dicom]'": "slicer.util.pip_install('highdicom')",
}
"""Options and commands by what they are called in the panel and in the logic; other options lose their dashes."""
_OPTION = re.compile(r"--([a-z0-9]+(?:-[a-z0-9]+)*)")


def withoutOptions(text: str) -> str:
    """A message of the library without its command line's options: "use --prior literature" as "use prior literature"."""
    for option, words in _WORDS.items():
        text = text.replace(option, words)
    return _OPTION.sub(lambda option: option[1].replace("-", " "), text)
