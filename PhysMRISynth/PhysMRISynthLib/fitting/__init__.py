"""Gains, receive fields and head-level tissue values; the voxelwise maximum-a-posteriori fit; uncertainty; the fit check.

Everything here works on plain arrays of voxels: N voxels seen by n inputs, θ = (log PD, log T1/ms, log T2/ms).
"""
