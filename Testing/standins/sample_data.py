"""A stand-in for Slicer's module SampleData: registers, fetches from file addresses, checks sums, and loads as Slicer does.

As in Slicer, the volumes that it loads have no storage node afterwards.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.request import url2pathname

import slicer

_FIELDS = ("uris", "fileNames", "nodeNames", "checksums")


class SampleDataLogic:
    """``slicer.modules.sampleDataSources`` holds what was registered, by category."""

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        """Only the title that Slicer shows."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", sampleName: str | None = None, **lists: Any) -> None:
        assert set(lists) == set(_FIELDS), f"other arguments than {_FIELDS}: {sorted(lists)}"
        sources = slicer.modules.sampleDataSources.setdefault(category, [])
        source = SimpleNamespace(sampleName=sampleName, **lists)
        if source not in sources:
            sources.append(source)

    def downloadSamples(self, sampleName: str) -> list[Any]:
        found = [source for sources in slicer.modules.sampleDataSources.values() for source in sources if source.sampleName == sampleName]
        return [node for source in found for node in self.downloadFromSource(source)]

    def downloadFromSource(self, source: Any) -> list[Any]:
        return [self._loaded(*entry) for entry in zip(*(getattr(source, name) for name in _FIELDS), strict=True)]

    def _loaded(self, uri: str, fileName: str, nodeName: str, checksum: str) -> Any:
        assert uri.startswith("file:"), f"a test must not fetch {uri}"
        content = Path(url2pathname(uri.removeprefix("file://"))).read_bytes()
        if checksum != f"SHA256:{hashlib.sha256(content).hexdigest()}":
            raise ValueError(f"{fileName} has another sum")
        path = Path(slicer.app.temporaryPath) / fileName
        path.write_bytes(content)
        node = slicer.util.loadVolume(str(path))
        slicer.mrmlScene.RemoveNode(node.GetStorageNode())  # "since nodes were read from a temp directory"
        node.SetName(nodeName)
        return node


def install() -> ModuleType:
    """Make the module importable, and part of Slicer; returns it."""
    module = sys.modules["SampleData"] = ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    module.downloadSamples = lambda sampleName: SampleDataLogic().downloadSamples(sampleName)
    slicer.modules.sampledata, slicer.modules.sampleDataSources = SimpleNamespace(name="SampleData"), {}
    return module


def remove() -> None:
    """Take it away again."""
    del sys.modules["SampleData"], slicer.modules.sampledata, slicer.modules.sampleDataSources
