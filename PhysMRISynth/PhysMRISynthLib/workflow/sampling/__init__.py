"""New heads from the latent diffusion model."""
