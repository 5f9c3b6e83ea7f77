"""Pages about runs: report.html and comparison.html."""
