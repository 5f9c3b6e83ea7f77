"""The data set on disk: its plan, its records, its manifest, its writer and its verification."""
