"""What jaxinit costs, measured against jax.nn.initializers and PyTorch in one run."""
