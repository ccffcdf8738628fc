# The serving side alone, for the CPU (the default), for OpenVINO on Intel CPUs, or for NVIDIA GPUs:
#   docker build .      docker build --target openvino .      docker build --target cuda .
# `make pin` renews the digest beside the tag, that of the index of all platforms.
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${BASE} AS build
WORKDIR /build
COPY deploy/container/build.txt .
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/build \
 && /opt/build/bin/pip install --only-binary :all: --require-hashes --no-deps --requirement build.txt \
 && python3 -m venv --without-pip /opt/nelumbo
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir dist .
COPY models /models
COPY deploy/container/install.sh deploy/container/add_models.py ./

FROM build AS build-cpu
COPY deploy/container/cpu.txt .
RUN --mount=type=cache,target=/root/.cache/pip ./install.sh cpu.txt

FROM build AS build-openvino
COPY deploy/container/openvino.txt .
RUN --mount=type=cache,target=/root/.cache/pip ./install.sh openvino.txt

FROM build AS build-cuda
COPY deploy/container/cuda.txt .
RUN --mount=type=cache,target=/root/.cache/pip ./install.sh cuda.txt

FROM ${BASE} AS runtime
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/*
COPY models /models
ENV PATH=/opt/nelumbo/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    NELUMBO_MODELS=/models \
    NELUMBO_HOST=0.0.0.0 \
    NELUMBO_PORT=3000
WORKDIR /opt/nelumbo
USER 65532:65532
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['NELUMBO_PORT']}/readyz\", timeout=2)"]
CMD ["python", "-m", "service"]
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Nelumbo" \
      org.opencontainers.image.description="An image generator behind HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"

FROM runtime AS openvino
COPY --from=build-openvino /opt/nelumbo /opt/nelumbo
ENV NELUMBO_PROVIDER=openvino

FROM runtime AS cuda
COPY --from=build-cuda /opt/nelumbo /opt/nelumbo
ENV NELUMBO_PROVIDER=cuda \
    LD_LIBRARY_PATH=/opt/nelumbo/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/nelumbo/lib/python3.11/site-packages/nvidia/cudnn/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# The last: what is built where no target is named.
FROM runtime AS cpu
COPY --from=build-cpu /opt/nelumbo /opt/nelumbo
