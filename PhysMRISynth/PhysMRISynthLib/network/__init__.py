"""The physics-informed product-of-experts variational autoencoder: the learned prior over tissue classes."""
