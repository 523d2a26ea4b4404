"""Weight initializers for JAX: exact in every dtype, fast, the same on every mesh."""

__version__ = "0.1.0"
