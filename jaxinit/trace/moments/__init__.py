"""Mean and variance of every array of a forward pass, followed without data."""
