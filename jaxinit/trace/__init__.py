"""One reading of a forward pass: roles, moments and probes of its parameters."""
