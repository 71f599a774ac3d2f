"""Static files under hashed names, imports between ES modules included."""

from servestatic.storage import CompressedManifestStaticFilesStorage


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped library
    """Rewrites `import "./x.js"` to the hashed name too, so that a module can be cached for ever."""

    support_js_module_import_aggregation = True
