"""Searches in Optuna, which is imported in here alone: storage, sampler, attempts at trials, and the search as a whole."""
