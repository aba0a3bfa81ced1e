"""The model card of a shipped sampling model, in Markdown, from what its files and an evaluation say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PhysMRISynthLib.network.diffusion_weights import STEP, SamplerWeights

from ..evaluation.results import markdown_table
from .model_card import configuration_section, metrics_section

_USE = """Research and teaching only. A seed becomes {what} that does not exist: which tissue is where, with proton density, T1 and T2 drawn
around the literature's values, from which the signal equations make images of any protocol. Told at will: {told}. For trying protocols and
software, and for teaching contrast."""
_LIMITS = (
    "Not for diagnosis, and no medical device. What is drawn is nobody's, and no statement about anybody.",
    "Its anatomy was learned from {label_maps} label maps of adults, whose halves were exchanged and which were deformed at random: what "
    "differs between people beyond that it does not know. Drawn heads are no substitute for a population, neither in a statistic nor as "
    "the only training data of another model.",
    "A head is drawn again until its fissure, corpus callosum and third ventricle lie within limits that label maps of people set. That "
    "selects: which heads are drawn is not quite what the model has learned. What is not measured can still be wrong.",
    "Look at a head before you use it: in some, ventricles or deep grey nuclei are unequal, patches of fluid lie within cortex, or skull "
    "and skin are dented or interrupted.",
    "Folds are smoother than in real brains; small structures (optic nerves, vessels, single nuclei), face and neck are rough.",
    "A drawn head may resemble one of the label maps, which are public; the metrics tell how much.",
    "Lesions are those of multiple sclerosis alone, and few.",
)
_DATA = (
    "{heads} simulated heads of the {label_maps} label maps that the network before it was trained on (see its own card), as that "
    "network's latents. Each is two people's: one half of the head is another's, mirrored or not, deformed onto it."
)
_NO_METRICS = (
    "No metrics were given. `physmrisynth evaluate --suite samples` measures these weights; `ship_sampler --metrics results.json` puts its "
    "tables here."
)


def sampler_card(weights: SamplerWeights, sizes: Mapping[str, int], metrics: Mapping[str, str], rounding: Sequence[str] = ()) -> str:
    """The card of a sampling model, whose files take so many bytes (``sizes`` by name); ``metrics`` is Markdown by suite, ``rounding``
    that of :func:`~.model_card.rounding_section`."""
    card, config = weights.card, weights.config
    told = ", ".join(name.replace("_", " ") for name in config.condition) or "nothing"
    parts = [
        "# Model card: heads that do not exist",
        markdown_table(("", ""), [*_facts("sampling model", weights.sha256, card, weights.model), *_expander_facts(weights)]),
        "Files: "
        + ", ".join(f"`{name}` ({size / 1e6:.1f} MB)" for name, size in sizes.items())
        + f"; stored with a relative error of {100 * STEP / 12**0.5:.1f} %.",
        "## Intended use",
        _USE.format(what="a head" if config.spatial_dims == 3 else "an axial slice of a head", told=told),
        "## Limits",
        "\n".join(f"- {limit.format(label_maps=card['label_maps'])}" for limit in _LIMITS),
        "## Training data",
        " ".join((_DATA.format(**card), *filter(None, [card.get("history")]))),
        *rounding,
        "## Metrics",
        metrics_section(metrics) if metrics else _NO_METRICS,
        "## Configuration",
        *(configuration_section(part) for part in (card, *([weights.expander.card] if weights.expander else []))),
    ]
    return "\n\n".join(parts) + "\n"


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
