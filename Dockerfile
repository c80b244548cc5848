# One image for web and worker; the command tells which. TORCH_INDEX chooses torch's build: the default is small and for
# CPUs; https://pypi.org/simple takes PyPI's, which has CUDA in it.
FROM python:3.12-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
RUN python -m venv /opt/pairboard
ENV PATH=/opt/pairboard/bin:$PATH
COPY constraints.txt ./
# torch first: its layer stays while the code changes. A build 2.x.y+cpu of the first index goes before PyPI's 2.x.y.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c constraints.txt --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple torch
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY worker worker
COPY ml ml
COPY templates templates
COPY migrations migrations
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c constraints.txt .

FROM python:3.12-slim
# pg_dump and pg_restore, for `pairboard backup` and `restore`: of the release's own Postgres, the one of docker-compose.yml
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
# An empty volume that is mounted there takes over the owner.
RUN useradd --create-home --uid 10001 pairboard \
    && mkdir /data /secrets \
    && chown pairboard /data /secrets
COPY --from=build /opt/pairboard /opt/pairboard
ENV PATH=/opt/pairboard/bin:$PATH PAIRBOARD_DATA_DIR=/data PYTHONUNBUFFERED=1
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
CMD ["pairboard", "web"]
