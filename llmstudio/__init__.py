"""The project package. It imports nothing, so that the supervisor starts without Django."""

__version__ = "0.1.0"
