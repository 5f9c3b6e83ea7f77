"""Drawn cats, dogs and other things."""
