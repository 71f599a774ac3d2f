"""Forms, one module per group of pages."""
