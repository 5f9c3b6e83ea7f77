"""Labelled pictures, and what quantizing costs on them, for `tools.export_model`."""
