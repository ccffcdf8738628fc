# The serving side alone: no torch, no compiler, no pip in the last stage.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service service
RUN python -m venv /opt/nelumbo \
 && /opt/nelumbo/bin/pip install --no-cache-dir --constraint constraints.txt . \
 && /opt/nelumbo/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
COPY --from=build /opt/nelumbo /opt/nelumbo
COPY models /models
ENV PATH=/opt/nelumbo/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    NELUMBO_MODELS=/models \
    NELUMBO_HOST=0.0.0.0
WORKDIR /tmp
USER 65532:65532
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/readyz', timeout=2)"]
CMD ["python", "-m", "service"]
