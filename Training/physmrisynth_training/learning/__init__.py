"""Training of the variational autoencoder, the second stage and the sampling model."""
