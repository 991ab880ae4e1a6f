"""Ours next to the floor, to code by hand and to other projects: `docs/performance.md`."""
