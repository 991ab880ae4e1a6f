"""Measurements, not checks: what CONTRIBUTING.md says how to run."""
