"""Radiology corpora in, perturbed-pairs datasets out (Parquet folders that `datasets.load_dataset` reads)."""
