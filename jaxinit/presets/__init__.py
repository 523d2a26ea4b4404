"""Schemes of libraries and papers as plain rules; see each file for its sources."""
