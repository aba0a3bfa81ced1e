"""The physics-informed product-of-experts variational autoencoder: what expects which tissue where."""
