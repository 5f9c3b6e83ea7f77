"""Picture files: which there are, which class each has, and their pixels."""
