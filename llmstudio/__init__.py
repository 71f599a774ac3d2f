"""The project package. It stays empty so that the supervisor starts without importing Django."""
