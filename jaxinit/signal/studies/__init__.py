"""Studies: many seeds of one network, measured layer by layer."""
