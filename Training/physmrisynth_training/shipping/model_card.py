"""The model card of shipped weights, in Markdown, from their file and an evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.weights import STEP, Weights

from ..evaluation.results import markdown_table

_SOURCES = {
    "head_labels": "whole-head label maps of adults: training label maps of SynthSeg (github.com/BBillot/SynthSeg, Apache-2.0; "
    "Billot et al., Med Image Anal 86:102789, 2023)",
    "ms_lesion_masks": "lesion masks of patients with multiple sclerosis: open_ms_data (github.com/muschellij2/open_ms_data, CC-BY; "
    "Lesjak et al., Neuroinformatics 2017, doi:10.1007/s12021-017-9348-7)",
}
_USE = """Research only. The network predicts tissue probabilities in a head, as a prior for maps of proton density, T1 and T2
that are then fitted to the images by their signal equations. Inputs: any subset of T1w, T2w and FLAIR of an adult head, with or without
skull, with known protocols, at 1.5 or 3 T."""
_LIMITS = (
    "Not for diagnosis; not a medical device.",
    "Trained only on simulated images of adult heads. It has never seen a real image, a child, a tumour, an operated head, a "
    "haemorrhage or a contrast agent; the only disease in training is white-matter lesions.",
    "It does not recognise orientation: heads upside down are detected by the atlas, not by the network.",
    "Estimates report the distance of their inputs from the training data (`applicability` in report.json, 1 at the limit). A score "
    "below 1 does not prove that the maps are right.",
)
_SAMPLER = "sampler_sha256"
_NO_METRICS = "No metrics were given. `physmrisynth evaluate` measures these weights; `ship_vae --metrics FILE` adds its tables here."


def read_metrics(path: Path, of: Mapping[str, str]) -> dict[str, str]:
    """Markdown by suite from an evaluation's results.json: {suite: …}, or that under "suites".

    A suite has its text under "markdown", or its "tables" (title, columns, rows) with "notes". Raises PhysMRISynthError when the file
    cannot be read or holds neither, when no suite measured this kind of weights, or when a suite's settings name other weights than
    ``of``: SHA-256 by "network_sha256", or by "sampler_sha256" and "expander_sha256".
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        suites: Mapping[str, Any] = found.get("suites", found)
        about = {name: entry for name, entry in suites.items() if (_SAMPLER in entry.get("settings", {})) == (_SAMPLER in of)}
        others = [found for entry in about.values() if "settings" in entry for found in _others(entry["settings"], of)]
        texts = {name: entry["markdown"] if "markdown" in entry else _tables(entry) for name, entry in about.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise PhysMRISynthError(f"{path} holds no results that 'physmrisynth evaluate' wrote ({error!r}). Give its results.json.") from None
    if others:
        raise PhysMRISynthError(f"{path} measured other weights ({others[0][:40]}…). Evaluate the ones that are shipped.")
    if not texts:
        raise PhysMRISynthError(f"{path} holds nothing about such weights. Run 'physmrisynth evaluate' on them and give its results.json.")
    return texts


def _others(settings: Mapping[str, Any], of: Mapping[str, str]) -> list[str]:
    return [settings[name] for name, sha256 in of.items() if settings[name] not in (None, sha256)]


def _tables(entry: Mapping[str, Any]) -> str:
    tables = [f"**{table['title']}**\n\n{markdown_table(table['columns'], table['rows'])}" for table in entry["tables"]]
    return "\n\n".join([*entry.get("notes", ()), *tables])


def configuration_section(card: Mapping[str, Any]) -> str:
    """A card's configuration as JSON in Markdown."""
    return f"```json\n{json.dumps(card['configuration'], indent=1)}\n```"


def metrics_section(metrics: Mapping[str, str]) -> str:
    """Markdown by suite under its headings."""
    return "\n\n".join(f"### {suite}\n\n{text}" for suite, text in sorted(metrics.items()))


def rounding_section(manifest: Path, kind: str) -> list[str]:
    """Paragraphs on the effect of rounding for storage, if the manifest has them for this kind of weights."""
    entry = json.loads(manifest.read_text(encoding="utf-8")).get(kind, {}) if manifest.exists() else {}
    return ["## Rounding for storage", entry["rounding"]] if "rounding" in entry else []


def model_card(weights: Weights, size: int, metrics: Mapping[str, str], rounding: Sequence[str] = ()) -> str:
    """The card of ``weights`` in a file of ``size`` bytes; ``metrics`` is Markdown by suite, ``rounding`` that of
    :func:`rounding_section`."""
    card = weights.card
    parts = [
        "# Model card: prior over tissue classes",
        markdown_table(("", ""), _facts(weights, size)),
        "## Intended use",
        _USE,
        "## Limits",
        "\n".join(f"- {limit}" for limit in _LIMITS),
        "## Training data",
        "\n".join(f"- {_SOURCES[name]}: {count} used" for name, count in card["data"].items() if count),
        f"Heads {_numbers(card['training_heads'])} were used for training, {_numbers(card['selection_heads'])} for model selection. All "
        "images are simulated from them, with random tissue values around the literature, protocols, fields, noise and resolution.",
        "## Out-of-distribution score",
        _familiarity(weights),
        *rounding,
        "## Metrics",
        metrics_section(metrics) if metrics else _NO_METRICS,
        "## Configuration",
        configuration_section(card),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(weights: Weights, size: int) -> list[tuple[str, Any]]:
    card = weights.card
    return [
        ("SHA-256", f"`{weights.sha256}`"),
        ("size", f"{size / 1e6:.1f} MB; stored with a relative error of {100 * STEP / 12**0.5:.0f} %"),
        ("parameters", f"{sum(p.numel() for p in weights.network.parameters()) / 1e6:.1f} million"),
        ("training", f"{card['steps']} steps in {card['hours']} hours"),
        ("package version", card["version"]),
        ("code", card["code_version"]),
        ("licence", "as the package: Apache-2.0"),
    ]


def _numbers(heads: Sequence[int]) -> str:
    return f"{min(heads):02d}–{max(heads):02d}" if len(heads) > 1 else f"{heads[0]:02d}"


def _familiarity(weights: Weights) -> str:
    if weights.familiarity is None:
        return "These weights have no statistics of their training heads."
    counts = weights.card["simulated_heads"]
    rows = [(name.replace("_", " of "), len(p.mean), f"{p.limit:.2f}") for name, p in weights.familiarity.items()]
    return (
        f"Distances refer to {counts['training']} simulated scans of training heads; their limits, the 99.5th percentile, are from "
        f"leave-one-out distances of these and from {counts['held_out']} scans of held-out anatomy.\n\n"
        + markdown_table(("population", "features", "limit"), rows)
    )
