"""The model card of a shipped sampling model, in Markdown, from its files and an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PhysMRISynthLib.network.diffusion_weights import STEP, SamplerWeights

from ..evaluation.results import markdown_table
from .model_card import configuration_section, metrics_section

_USE = """Research and teaching only. A seed gives {what}: tissue probabilities, and PD, T1 and T2 sampled around literature values, from
which the signal equations render images of any protocol. Optional conditions: {conditions}. For trying protocols and software, and for
teaching contrast."""
_LIMITS = (
    "Not for diagnosis; not a medical device. A sampled head is not a person, and says nothing about any person.",
    "It was trained on {learned} and random deformations, and does not model "
    "anatomical variation beyond that. Synthetic heads do not replace a population, neither in statistics nor as the only training "
    "data of another model.",
    "A head is resampled until its fissure, corpus callosum and third ventricle lie within the limits of real label maps. Because of "
    "this selection, the distribution of heads differs slightly from the model's. Unmeasured anatomy can still be wrong.",
    "Look at a head before you use it: some have unequal ventricles or deep grey nuclei, patches of fluid within cortex, or a dented "
    "or interrupted skull and skin.",
    "Folds are smoother than in real brains; small structures (optic nerves, vessels, single nuclei), face and neck are rough.",
    "A synthetic head may resemble one of the label maps, which are public; the metrics show how much.",
    "Lesions are those of multiple sclerosis only, and few.",
)
_DATA = (
    "{heads} simulated heads from the {label_maps} label maps that also trained the first network (see its own card), as latents of "
    "that network. Each combines two people: one hemisphere is taken from another head, mirrored or not, and deformed to match "
    "(hemisphere mixing)."
)
_PEOPLE = (
    "{heads} simulated heads, as latents of the first network: from the {label_maps} label maps that also trained it (SynthSeg, "
    "Apache-2.0; see its own card), and from {people} heads with the brains of other people (OpenNeuro ds002748, CC0, "
    "doi 10.18112/openneuro.ds002748.v1.0.5; labelled with brainchop, MIT) in the skulls of the former. Hemispheres are not mixed."
)
_NO_METRICS = (
    "No metrics were given. `physmrisynth evaluate --suite samples` measures these weights; `ship_sampler --metrics results.json` adds its "
    "tables here."
)


def sampler_card(weights: SamplerWeights, sizes: Mapping[str, int], metrics: Mapping[str, str], rounding: Sequence[str] = ()) -> str:
    """The card of a sampling model; ``sizes`` are the bytes of its files by name; ``metrics`` is Markdown by suite, ``rounding``
    that of :func:`~.model_card.rounding_section`."""
    card, config = weights.card, weights.config
    conditions = ", ".join(name.replace("_", " ") for name in config.condition) or "nothing"
    parts = [
        "# Model card: synthetic heads",
        markdown_table(("", ""), [*_facts("sampling model", weights.sha256, card, weights.model), *_expander_facts(weights)]),
        "Files: "
        + ", ".join(f"`{name}` ({size / 1e6:.1f} MB)" for name, size in sizes.items())
        + f"; stored with a relative error of {100 * STEP / 12**0.5:.1f} %.",
        "## Intended use",
        _USE.format(what="a head" if config.spatial_dims == 3 else "an axial slice of a head", conditions=conditions),
        "## Limits",
        "\n".join(f"- {limit.format(learned=_learned(card))}" for limit in _LIMITS),
        "## Training data",
        " ".join(((_PEOPLE if card.get("people") else _DATA).format(**card), *filter(None, [card.get("history")]))),
        *rounding,
        "## Metrics",
        metrics_section(metrics) if metrics else _NO_METRICS,
        "## Configuration",
        *(configuration_section(part) for part in (card, *([weights.expander.card] if weights.expander else []))),
    ]
    return "\n\n".join(parts) + "\n"


def _learned(card: Mapping[str, Any]) -> str:
    maps = f"{card['label_maps']} label maps of adults"
    return f"{maps} and {card['people']} heads with other people's brains," if card.get("people") else f"{maps}, with hemisphere mixing"


def _facts(name: str, sha256: str, card: Mapping[str, Any], network: Any) -> list[tuple[str, Any]]:
    return [
        (f"{name}: SHA-256", f"`{sha256}`"),
        ("parameters", f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} million"),
        ("training", f"{card['steps']} steps in {card['hours']} hours"),
        ("package version, code", f"{card['version']}, {card['code_version']}"),
    ]


def _expander_facts(weights: SamplerWeights) -> list[tuple[str, Any]]:
    expander = weights.expander
    found = [] if expander is None else _facts("second-stage decoder", expander.sha256, expander.card, expander.network)
    return [*found, ("decoder: SHA-256", f"`{weights.vae_sha256}`"), ("licence", "as the package: Apache-2.0")]
