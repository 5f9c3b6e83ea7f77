"""Tells cats from dogs: TFRecord pipeline, trainer and batch inference."""

__version__ = "0.2.0"
