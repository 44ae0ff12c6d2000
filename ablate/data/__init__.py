"""Datasets, one file each; features, the store of features, windows and splits."""
