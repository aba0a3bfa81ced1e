"""The trainings: variational autoencoder, condenser, sampling model."""
