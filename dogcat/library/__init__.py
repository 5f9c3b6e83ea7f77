"""What `import dogcat` offers to other programs: data sets, models and runs."""
