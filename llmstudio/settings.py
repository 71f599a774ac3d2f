"""Settings, and the only reader of the environment.

Every variable has a default that works for `make run` on one machine. STUDIO_URL decides what kind of deployment this
is: an https:// address turns on secure cookies, HSTS and the proxy header.
"""

import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

import environ
from csp.constants import NONCE, NONE, SELF

from llmstudio import embedded

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent
STUDIO_HOME = Path(env("STUDIO_HOME", default=str(BASE_DIR / "var"))).resolve()
PORT = env.int("PORT", default=8000)
STUDIO_URL = env("STUDIO_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
DEBUG = env.bool("DEBUG", default=False)


def _secret(name: str) -> str:
    """A secret from the environment, or one made once and kept in the data folder, readable by its owner only."""
    if value := env(name, default=""):
        return str(value)
    path = STUDIO_HOME / "secrets" / name.lower()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600, exist_ok=True)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text().strip()


SECRET_KEY = _secret("SECRET_KEY")
FIELD_KEY = _secret("FIELD_KEY")  # seals the keys of other servers, and two-factor secrets, in the database

_https = STUDIO_URL.startswith("https://")
_host = urlsplit(STUDIO_URL).hostname or "127.0.0.1"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=sorted({_host, "127.0.0.1", "localhost", "[::1]"}))
CSRF_TRUSTED_ORIGINS = [STUDIO_URL]
SECURE_SSL_REDIRECT = _https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "llmstudio.apps.StudioStaticFilesConfig",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "channels",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.mfa",
    "allauth.usersessions",
    "workspace",
    "jobs",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "llmstudio.openai_errors.middleware",
    "llmstudio.static.Files",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "llmstudio.sessions.PersonMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "llmstudio.gate.Gate",
]

ROOT_URLCONF = "llmstudio.urls"
ASGI_APPLICATION = "llmstudio.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "llmstudio.context.frame",
            ],
        },
    }
]

FORM_RENDERER = "django.forms.renderers.Jinja2"  # draws a field in a third of the time; the editor of a prompt has 17

# --- stores ---------------------------------------------------------------------------------------------------------

DATABASES = {"default": env.db_url_config(env("DATABASE_URL", default=embedded.database_url(STUDIO_HOME)))}
DATABASES["default"] |= {
    "HOST": unquote(DATABASES["default"]["HOST"]),  # a unix socket's folder comes percent-encoded
    "CONN_HEALTH_CHECKS": True,  # the pool tests what it hands out: a database restart is no error
    "CONN_MAX_AGE": 0,  # the pool keeps connections; persistent ones would leak under ASGI's threads
    "OPTIONS": {
        "pool": {"min_size": 1, "max_size": 16, "timeout": 10},
        # Values travel beside the statement, and one that comes again is planned already: pages have the same twenty all day.
        "server_side_binding": True,
        "prepare_threshold": 2,
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env("REDIS_URL", default=embedded.redis_url(STUDIO_HOME))
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "studio"},
    }
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "studio"}
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = False  # the row is the job; a doorbell may be lost
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True  # they last no time; unset, Celery warns
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 5, "max_retries": 1}

# --- people ---------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "workspace.User"
SESSION_ENGINE = "llmstudio.sessions"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "workspace.accounts.AccountAdapter"
ACCOUNT_FORMS = {"login": "workspace.forms.people.SignInForm"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # people arrive by an invitation sent to that address
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # no mail to strangers
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
USERSESSIONS_TRACK_ACTIVITY = False
USERSESSIONS_ADAPTER = "workspace.accounts.SessionsAdapter"
MFA_ADAPTER = "workspace.accounts.TwoFactorAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses are vouched for by whoever invites
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "LLM Studio"
MFA_TOTP_TOLERANCE = 1  # the code before and after: clocks of phones drift
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "account_login"

EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10  # seconds; an invitation is sent while its sender waits
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env("STUDIO_FROM_EMAIL", default=f"studio@{_host}")

# --- pages ----------------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = STUDIO_HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": STUDIO_HOME / "files"},
    },
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "llmstudio.static.ModuleManifestStorage"
    },
}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF, STUDIO_URL.replace("http", "ws", 1)],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
# The largest prompt is a million characters of at most four bytes, and as much again in trial values; a pasted import may
# have 5 MiB, and grows a little on the way. Files are not counted.
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 2**20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000  # an import of 1,000 prompts has two fields for each
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

# --- the studio's own -----------------------------------------------------------------------------------------------

STUDIO_WORKER = env("STUDIO_WORKER", default="")  # infer, train or default: which runner a Celery worker starts
STUDIO_ENGINE = env("STUDIO_ENGINE", default="auto")  # auto, llama or transformers
STUDIO_INFER_THREADS = env.int("STUDIO_INFER_THREADS", default=0)  # 0: let the engine decide
STUDIO_TRAIN_THREADS = env.int("STUDIO_TRAIN_THREADS", default=0)
STUDIO_TRAIN_NICE = env.int("STUDIO_TRAIN_NICE", default=10)  # chat comes first; 0 on a machine that only trains
STUDIO_MODELS = STUDIO_HOME / "models"
STUDIO_RUNS = STUDIO_HOME / "runs"
STUDIO_DEFAULT_MODEL = "smollm2-135m-instruct"
STUDIO_ADMIN_EMAIL = env("STUDIO_ADMIN_EMAIL", default="")
STUDIO_ADMIN_PASSWORD = env("STUDIO_ADMIN_PASSWORD", default="")
STUDIO_API_RATE = env.int("STUDIO_API_RATE", default=600)  # requests a minute for one API key
STUDIO_PROMPT_RATE = env.int("STUDIO_PROMPT_RATE", default=120_000)  # fetches of prompts a minute for one API key
STUDIO_MAX_UPLOAD = env.int("STUDIO_MAX_UPLOAD", default=200 * 2**20)  # bytes
METRICS_TOKEN = env("METRICS_TOKEN", default="")  # lets a Prometheus on another machine read /metrics

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "not_readyz": {  # "not ready yet" is that page's answer, not an error
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: "/readyz" not in record.getMessage(),
        }
    },
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        "celery": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "django.request": {"level": "ERROR", "filters": ["not_readyz"]},
    },
}
