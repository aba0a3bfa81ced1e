"""Synthetic heads from the latent diffusion model."""
