"""What surrounds `model.fit`: settings, checkpoints and resume, history, the run's files."""
