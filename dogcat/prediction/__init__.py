"""Probabilities of pictures: from files or a data set, through one model or several, to a table."""
