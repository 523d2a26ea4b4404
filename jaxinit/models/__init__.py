"""Whole models: rules and plans, uses read from the computation, cold start, audit."""
