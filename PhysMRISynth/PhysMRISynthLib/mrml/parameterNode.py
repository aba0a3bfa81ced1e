"""What the scene remembers of the panel. Bounds that an order has, too, are the order's."""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTextNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from ..workflow.estimation.order import EstimateOrder
from ..workflow.orders import limits_of
from ..workflow.rendering.scanner_effects import ScannerEffects
from ..workflow.sampling.order import SampleOrder

_GUIDANCE = limits_of(SampleOrder, "guidance")


@parameterNodeWrapper
class PhysMRISynthParameterNode:
    """Everything that the user chose, so that a saved scene comes back as it was left.

    t1w, t2w, flair - the input images
    t1wProtocol, t2wProtocol, flairProtocol - a preset or a typed protocol; "" reads the header
    reference - the input whose grid the maps get; "" chooses
    register - "when needed", "always" or "never"
    fieldStrength - tesla; 0 reads the headers
    prior, device - as an EstimateOrder has them
    spacing - voxel size of the maps (mm); 0: the reference's
    allowContrastAgent - take a T1w image after a contrast agent, with a warning
    weights - a file of network weights in place of the installed ones; "": none
    maps - the tissue maps that are shown
    sequence, preset, values - the protocol under the sliders; values is JSON of the parameters by name (ms, degrees)
    previous, protocolB, compareWith - contrasts to compare with, and what B is ("previous", "b", "acquired:ROLE", "visit:ID", "volume:ID")
    noisy, snr, noiseSeed - noise in the rendered image
    live - render while a slider moves
    sampleSeed, sampleCount - for new heads; sampleAttempt - the one attempt to make; 0: attempts until the midline check passes
    sampleCondition - JSON of the targets by condition; sampleGuidance - how strictly they are followed
    sampleWeights - a file of a sampling model in place of the installed one; "": none
    quantity - the map that is shown
    regions - the segmentation that is measured; earlierMaps, laterMaps - two visits to compare
    measuredPD, measuredT1, measuredT2 - measured maps to use; contrasts - names of the ticked presets, with commas
    receiveField (%), sliceThickness (mm), ringing (%), motion (mm) - scanner effects of these contrasts; 0: none
    """

    t1w: vtkMRMLScalarVolumeNode
    t2w: vtkMRMLScalarVolumeNode
    flair: vtkMRMLScalarVolumeNode
    t1wProtocol: str = ""
    t2wProtocol: str = ""
    flairProtocol: str = ""
    reference: str = ""
    register: str = "when needed"
    fieldStrength: Annotated[float, WithinRange(0, 4)] = 0.0
    prior: str = "auto"
    device: str = "auto"
    spacing: Annotated[float, WithinRange(0, limits_of(EstimateOrder, "spacing_mm").high)] = 0.0
    allowContrastAgent: bool = False
    weights: str = ""
    maps: vtkMRMLTextNode
    sequence: str = ""
    preset: str = "synthetic-flair"
    values: str = ""
    previous: str = ""
    protocolB: str = ""
    compareWith: str = "previous"
    noisy: bool = False
    snr: Annotated[float, WithinRange(2, 200)] = 30.0
    noiseSeed: Annotated[int, WithinRange(0, 2**31 - 1)] = 0
    live: bool = True
    sampleSeed: Annotated[int, WithinRange(0, 2**31 - 1)] = 0
    sampleCount: Annotated[int, WithinRange(1, 100)] = 1
    sampleAttempt: Annotated[int, WithinRange(0, 1000)] = 0
    sampleCondition: str = ""
    sampleGuidance: Annotated[float, WithinRange(_GUIDANCE.low, _GUIDANCE.high)] = SampleOrder.guidance
    sampleWeights: str = ""
    quantity: str = ""
    regions: vtkMRMLSegmentationNode
    earlierMaps: vtkMRMLTextNode
    laterMaps: vtkMRMLTextNode
    measuredPD: vtkMRMLScalarVolumeNode
    measuredT1: vtkMRMLScalarVolumeNode
    measuredT2: vtkMRMLScalarVolumeNode
    contrasts: str = ""
    receiveField: Annotated[float, WithinRange(0, limits_of(ScannerEffects, "receive_field").high)] = 0.0
    sliceThickness: Annotated[float, WithinRange(0, limits_of(ScannerEffects, "slice_thickness").high)] = 0.0
    ringing: Annotated[float, WithinRange(0, limits_of(ScannerEffects, "ringing").high)] = 0.0
    motion: Annotated[float, WithinRange(0, limits_of(ScannerEffects, "motion").high)] = 0.0
