"""Faults that a real machine meets, and a checker that compares what was said with what
people see in the end.
"""
