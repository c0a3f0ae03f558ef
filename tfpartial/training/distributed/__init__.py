"""Strategies, and workers that watch each other."""
