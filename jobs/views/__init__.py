"""Pages of data, fine-tunes and models."""
