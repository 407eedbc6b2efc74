"""Translations of what git and its kin pass to a hook. Nothing else."""
