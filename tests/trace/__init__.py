"""Tests of the one reading of a forward pass."""
