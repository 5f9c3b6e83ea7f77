"""Trials of recipes, and what they come to, for `tools.judge_recipes`."""
