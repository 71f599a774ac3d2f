from django.contrib.staticfiles.apps import StaticFilesConfig


class StudioStaticFilesConfig(StaticFilesConfig):
    """Leaves htmx's extensions out: we use none, and one of them names a file in a comment that the storage cannot find."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "hx-*.js"]
