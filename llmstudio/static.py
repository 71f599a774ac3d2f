"""Static files: under hashed names, imports between ES modules included, and who hands them out."""

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from servestatic.middleware import ServeStaticMiddleware
from servestatic.storage import CompressedManifestStaticFilesStorage


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped library
    """Rewrites `import "./x.js"` to the hashed name too, so that a module can be cached for ever."""

    support_js_module_import_aggregation = True


class Files(ServeStaticMiddleware):  # type: ignore[misc]  # untyped library
    """Hands out files where requests are handled asynchronously. In a synchronous chain (llmstudio.asgi.Pages) it steps aside:
    there it would be the one thing for which a request changes threads, and no file is asked for."""

    sync_capable = True  # to be asked at all

    def __init__(self, get_response: object) -> None:
        if not iscoroutinefunction(get_response):
            raise MiddlewareNotUsed
        super().__init__(get_response)
