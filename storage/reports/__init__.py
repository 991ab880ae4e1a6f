"""Figures that reports are made from."""
