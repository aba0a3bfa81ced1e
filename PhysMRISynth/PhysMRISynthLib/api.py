"""The functions behind ``import PhysMRISynthLib as pms``: everyday work in one call each, by the same code as the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import speaking
from .imaging.intake.volumes import write_image
from .imaging.tissue_maps import TissueMaps, read_tissue_maps
from .physics.presets import all_presets
from .physics.protocol import Protocol
from .workflow.analysis.posterior import posterior_samples
from .workflow.analysis.posterior_order import PosteriorOrder
from .workflow.console_words import console_words
from .workflow.estimation.estimate import Estimate, estimate_tissue_maps
from .workflow.estimation.inputs import read_acquisitions
from .workflow.estimation.order import EstimateOrder
from .workflow.rendering.order import RenderOrder
from .workflow.rendering.rendered import rendered
from .workflow.rendering.scanner_effects import NO_EFFECTS, ScannerEffects
from .workflow.results.export import Export
from .workflow.results.export import export_dicom as write_dicom
from .workflow.results.export_order import ExportOrder
from .workflow.results.map_set import read_map_set, with_sds
from .workflow.results.outputs import (
    REPORT,
    check_free,
    check_inputs_survive,
    check_rendering,
    finite,
    whole_folder,
    write_estimate,
    write_json,
    write_rendering,
)
from .workflow.results.report import estimate_report
from .workflow.sampling.order import SampleOrder
from .workflow.sampling.sample import SampledHead, sampler_of

if TYPE_CHECKING:
    import SimpleITK as sitk

    from .physics.presets import Preset

File = str | PathLike[str]
_SOURCE = "script"
_WORDS = console_words()


@speaking(_WORDS)
def estimate(
    t1w: File | None = None,
    t2w: File | None = None,
    flair: File | None = None,
    *,
    protocols: Mapping[str, str] | None = None,
    field_strength: float | None = None,
    reference: str | None = None,
    register: bool | None = None,
    spacing: float | None = None,
    prior: str = EstimateOrder.prior,
    device: str = EstimateOrder.device,
    allow_contrast_agent: bool = EstimateOrder.allow_contrast_agent,
    weights: File | None = None,
    out: File | None = None,
    overwrite: bool = False,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> Estimate:
    """Estimate PD, T1 and T2 maps with their uncertainty from the weighted images of one adult head.

    Parameters
    ----------
    t1w, t2w, flair
        Image files (NIfTI, NRRD, MetaImage, MGH, or a DICOM file or folder of the series); at least one.
    protocols
        By input ("t1w", "t2w", "flair") a preset's name or ``sequence,NAME=VALUE,…`` in ms and degrees. Where none is given, that of
        the image's header or JSON sidecar is used, else a default, which ``Estimate.warnings`` names.
    field_strength
        Tesla, 1 to 4. By default the one in the headers, else 3.
    reference
        The input whose grid the maps get; by default T1w, else T2w, else FLAIR.
    register
        True registers always, False trusts the coordinates of the files, None registers where grids differ or images moved.
    spacing
        Edge of isotropic voxels in mm; by default the reference's own grid.
    prior
        "network", "literature", or "auto": the network where torch and safetensors are installed.
    device
        Of the network: "auto", "cpu", "cuda" or "mps".
    allow_contrast_agent
        Accept a T1w image that was acquired after a contrast agent, with a warning.
    weights
        A file that ``physmrisynth train vae`` wrote, in place of the installed network.
    out
        A folder for the maps, SDs, label map and reports, written whole or not at all.
    overwrite
        Replace the results of an earlier run in ``out``.
    progress
        Callback ``(stage, fraction_done)``.

    Returns
    -------
    Estimate
        ``maps`` (:class:`TissueMaps`), ``verdict``, ``warnings``, ``medians`` per tissue, the inputs' ``fits`` and ``checks``.

    Raises
    ------
    PhysMRISynthError
        When no trustworthy maps can be had; the message names the cause and the remedy.

    References
    ----------
    docs/method.md; Lüpke et al., *Physics-Informed Latent Diffusion for Multimodal Brain MRI Synthesis*.
    """
    given = {"t1w": t1w, "t2w": t2w, "flair": flair}
    files = {role: None if file is None else Path(file) for role, file in given.items()}
    own = "" if weights is None else str(weights)
    order = EstimateOrder(protocols or {}, field_strength, reference, register, prior, device, spacing, allow_contrast_agent, own)
    if out is not None:
        check_free(Path(out), overwrite)
    acquisitions = read_acquisitions(files, order)
    if out is not None:
        check_inputs_survive(acquisitions, Path(out))
    result = estimate_tissue_maps(acquisitions, order, progress)
    if out is not None:
        write_estimate(result, Path(out), overwrite)
    report = finite(estimate_report(result))
    return replace(result, maps=replace(result.maps, provenance=report))  # so that presets are solved for this head, as after load_maps


@speaking(_WORDS)
def load_maps(folder: File) -> TissueMaps:
    """Read the tissue maps in a folder that ``estimate``, ``sample``, ``import`` or a BIDS derivative of one visit has written.

    Parameters
    ----------
    folder
        Holds ``PD.nii.gz`` (%), ``T1.nii.gz`` and ``T2.nii.gz`` (ms), or ``…_T1map.nii.gz`` and so on (unit of the sidecar, else s).

    Returns
    -------
    TissueMaps
        Arrays float32 (z, y, x): ``pd`` (fraction of water), ``t1`` and ``t2`` (ms), ``sd`` where known; ``mask``; ``grid``.

    Raises
    ------
    ImageError
        When a map is missing, damaged, on another grid, or cannot have these units.
    """
    return with_sds(read_tissue_maps(Path(folder)), Path(folder))


@speaking(_WORDS)
def save_maps(maps: TissueMaps, folder: File, *, overwrite: bool = False) -> None:
    """Write tissue maps as NIfTI files with their report, whole or not at all; :func:`load_maps` reads them back.

    Parameters
    ----------
    maps
        Of an estimate or a synthetic head, or made by hand.
    folder
        Gets ``PD.nii.gz`` (%), ``T1.nii.gz``, ``T2.nii.gz`` (ms), the SDs, ``mask.nii.gz`` and ``report.json`` (``maps.provenance``).
    overwrite
        Replace the results of an earlier run in ``folder``.

    Raises
    ------
    ImageError
        When ``folder`` holds files already and ``overwrite`` is False, or cannot be written.
    """
    with whole_folder(Path(folder), overwrite) as temporary:
        images = maps.files()
        for name, image in images.items():
            write_image(image, temporary / name)
        write_json({**maps.provenance, "files": sorted([REPORT, *images])}, temporary / REPORT)


@speaking(_WORDS)
def render(
    maps: TissueMaps,
    protocol: Protocol | str,
    *,
    snr: float | None = RenderOrder.snr,
    seed: int = RenderOrder.seed,
    effects: ScannerEffects | None = None,
    out: File | None = None,
    overwrite: bool = False,
) -> sitk.Image:
    """Compute the image of a protocol from tissue maps.

    Parameters
    ----------
    maps
        Tissue maps; where they hold the fluid's share of each voxel, tissue and fluid are added with their signs.
    protocol
        A :class:`Protocol`, a preset's name, or ``sequence,NAME=VALUE,…`` (ms, degrees). The inversion times of a preset that nulls
        tissues are solved for this head.
    snr
        Mean signal of the head over the noise SD (Rician noise; Gaussian in images that keep the sign); by default no noise.
    seed
        Makes noise and scanner effects repeatable.
    effects
        Receive field, thick slices, ringing and motion (:class:`ScannerEffects`); none by default.
    out
        An image file (.nii.gz, .nii, .nrrd, .mha), which gets a JSON sidecar with the protocol (BIDS, seconds).
    overwrite
        Replace ``out``.

    Returns
    -------
    SimpleITK.Image
        float32 on the maps' grid, or that of thick slices; 1000 is fully relaxed pure water (MP2RAGE's uniform image: −0.5 to 0.5).

    Raises
    ------
    ProtocolError
        For an unknown name, a value out of bounds, tissues that cannot be nulled, or effects that do not fit the maps.
    ImageError
        When ``out`` is taken or cannot be written.
    """
    order = RenderOrder(protocol, snr=snr, seed=seed, effects=effects or NO_EFFECTS)
    if out is not None:
        check_rendering(None, Path(out), overwrite)
    image = rendered(maps, order, _SOURCE)
    if out is not None:
        write_rendering(image, Path(out))
    return image.image


@speaking(_WORDS)
def sample(
    seed: int = SampleOrder.seed,
    *,
    condition: Mapping[str, float] | None = None,
    field_strength: float = SampleOrder.field_strength,
    steps: int = SampleOrder.steps,
    attempts: int = SampleOrder.attempts,
    attempt: int = SampleOrder.attempt,
    skull_stripped: bool = SampleOrder.skull_stripped,
    guidance: float = SampleOrder.guidance,
    device: str = SampleOrder.device,
    weights: File | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> SampledHead:
    """Sample the tissue maps of a synthetic head.

    Parameters
    ----------
    seed
        Decides the head: the same seed gives the same head on the same machine with the same versions.
    condition
        Targets, met approximately: "brain_volume" (ml), "ventricle_share" (% of the brain's volume), "lesion_load" (ml),
        "intracranial_volume" (ml), "atrophy" (fluid, % of the space inside the skull), "age" (years), "sex" (0 female, 1 male). Weights
        know a subset, within the range of their training heads: :func:`~PhysMRISynthLib.sample_conditions`.
    field_strength
        Tesla, 1 to 4: whose T1 and T2.
    steps
        Of the sampler, 1 to 1000; fewer are faster and coarser.
    attempts
        Maximum number of attempts until the midline check passes, 1 to 50.
    attempt
        Number of the first attempt; that of a report, with ``attempts=1``, gives the same head again.
    skull_stripped
        Keep the brain with its fluid alone.
    guidance
        1 to 5: above 1 (default) the targets are followed more strictly, in twice the time.
    device
        "auto", "cpu", "cuda" or "mps".
    weights
        A file that ``physmrisynth train ldm`` wrote, in place of the installed sampling model.
    progress
        Callback ``(fraction_done)``.

    Returns
    -------
    SampledHead
        ``maps`` (:class:`TissueMaps`), ``tissue`` and ``brain`` (z, y, x), the ``report`` with its warnings, and ``structures()``:
        labels in FreeSurfer's numbers.

    Raises
    ------
    WeightsError
        When weights, torch or MONAI are missing.
    OrderError
        For a value out of bounds.
    PhysMRISynthError
        For a condition that the weights do not know, and for a value beyond those of their training heads; the message states the range.
    """
    order = SampleOrder(
        seed, steps, dict(condition or {}), field_strength, device, guidance=guidance, attempts=attempts, attempt=attempt,
        skull_stripped=skull_stripped, weights="" if weights is None else str(weights),
    )  # fmt: skip
    return sampler_of(order).head(order, progress)


@speaking(_WORDS)
def posterior(folder: File, count: int = 20, *, seed: int = 0) -> Iterator[TissueMaps]:
    """Sample sets of maps that all explain the images of an estimate, for the uncertainty of numbers derived from maps.

    Parameters
    ----------
    folder
        That ``estimate`` has written: maps, SDs and ``report.json`` with the errors that all voxels share.
    count
        Number of samples, at least 2.
    seed
        Makes the samples repeatable.

    Returns
    -------
    Iterator
        Sets of :class:`TissueMaps` without SDs, computed one by one; the spread of a number over them is its uncertainty.

    Raises
    ------
    ImageError
        When the maps are missing or damaged, or do not state their uncertainty.
    OrderError
        For a count below 2 or a negative seed.
    """
    order = PosteriorOrder(count, seed)
    return posterior_samples(read_map_set(Path(folder)), order.count, order.seed)


@speaking(_WORDS)
def export_dicom(
    maps: TissueMaps,
    folder: File,
    *,
    protocols: Sequence[Protocol | str] = (),
    source: File | None = None,
    overwrite: bool = False,
    snr: float | None = None,
    seed: int = 0,
    effects: ScannerEffects | None = None,
) -> Export:
    """Write tissue maps as DICOM Parametric Maps, and synthetic contrasts as series of MR images.

    Parameters
    ----------
    maps
        PD is written in %, T1 and T2 in ms, SDs where known.
    folder
        Gets the files, all or none.
    protocols
        Synthetic contrasts, as :func:`render` takes them.
    source
        A folder of DICOM images whose patient, study and frame of reference the files get; by default the patient is anonymous.
    overwrite
        Replace an earlier export in ``folder``.
    snr, seed, effects
        Noise and scanner effects of the contrasts, as :func:`render` takes them; each file's derivation states them.

    Returns
    -------
    Export
        The names of the ``files``, and ``warnings``.

    Raises
    ------
    ImageError
        When pydicom or highdicom are missing, ``folder`` is taken, or ``source`` does not suit the maps.
    """
    origin = None if source is None else Path(source)
    order = ExportOrder(tuple(protocols), origin, snr=snr, seed=seed, effects=effects or NO_EFFECTS)
    return write_dicom(maps, Path(folder), order, overwrite)


def presets() -> dict[str, Preset]:
    """The protocols that have a name, in the order in which the panel lists them.

    Returns
    -------
    dict
        By name a Preset: ``protocol`` (ms, degrees), ``title``, ``field_strength`` (T, None: any) and the ``source`` of its values.
    """
    return all_presets()
