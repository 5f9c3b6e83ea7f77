"""Contestants of `tools.benchmark`, their rounds, tables and charts."""
