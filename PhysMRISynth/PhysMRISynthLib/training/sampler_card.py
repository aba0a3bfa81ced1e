"""The model card of a shipped sampling model, in Markdown, from what its files and an evaluation say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..network.diffusion_weights import SamplerWeights
from .model_card import NO_METRICS, markdown_table, metrics_section

_USE = """Research and teaching only. A seed becomes a head that does not exist: which tissue is where, with proton density, T1 and T2 drawn
around the literature's values, from which the signal equations make images of any protocol. Told at will: the volume of the brain, the
ventricles' share of it and that of lesions. Drawn heads are for trying protocols and software, and for teaching contrast."""
_LIMITS = (
    "Not for diagnosis, and no medical device. A drawn head is nobody's, and no statement about anybody.",
    "Its anatomy was learned from fourteen label maps of adults, deformed at random: what differs between people beyond that it does not "
    "know. Drawn heads are no substitute for a population, neither in a statistic nor as the only training data of another model.",
    "Folds are smoother than in real brains; small structures (optic nerves, vessels, single nuclei), face and neck are rough.",
    "A drawn head may resemble one of the label maps, which are public; how much is measured below.",
    "Lesions are those of multiple sclerosis alone, and few.",
)


def sampler_card(weights: SamplerWeights, sizes: Mapping[str, int], metrics: Mapping[str, str]) -> str:
    """The card of a sampling model, whose files take so many bytes (``sizes`` by name); ``metrics`` is Markdown by suite."""
    parts = [
        "# Model card: heads that do not exist",
        markdown_table(("", ""), [*_facts("sampling model", weights.sha256, weights.card, weights.model), *_expander_facts(weights)]),
        "Files: " + ", ".join(f"`{name}` ({size / 1e6:.1f} MB)" for name, size in sizes.items()) + ", half precision.",
        "## Intended use",
        _USE,
        "## Limits",
        "\n".join(f"- {limit}" for limit in _LIMITS),
        "## Training data",
        "Simulated heads of the label maps that the network before it was trained on (see its own card), as their latents. The number that "
        "was learned from, and of held-out anatomy, stands in the configuration.",
        "## Metrics",
        metrics_section(metrics) if metrics else NO_METRICS,
        "## Configuration",
        *(_configuration(card) for card in (weights.card, *([weights.expander.card] if weights.expander else []))),
    ]
    return "\n\n".join(parts) + "\n"


def file_sizes(weights: SamplerWeights, folder: Path, names: tuple[str, str]) -> dict[str, int]:
    """Bytes of the sampling model's file and, where there is one, the expander's."""
    return {name: (folder / name).stat().st_size for name in (names if weights.expander else names[:1])}


def _facts(name: str, sha256: str, card: Mapping[str, Any], network: Any) -> list[tuple[str, Any]]:
    return [
        (f"{name}: SHA-256", f"`{sha256}`"),
        ("parameters", f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} million"),
        ("training", f"{card['steps']} steps in {card['hours']} hours"),
        ("package version, code", f"{card['version']}, {card['code_version']}"),
    ]


def _expander_facts(weights: SamplerWeights) -> list[tuple[str, Any]]:
    expander = weights.expander
    found = [] if expander is None else _facts("expander", expander.sha256, expander.card, expander.network)
    return [*found, ("decoder: SHA-256", f"`{weights.vae_sha256}`"), ("licence", "as the package: Apache-2.0")]


def _configuration(card: Mapping[str, Any]) -> str:
    return f"```json\n{json.dumps(card['configuration'], indent=1)}\n```"
