# One image for web and worker; the command tells which. TORCH_INDEX=https://download.pytorch.org/whl/cpu makes a small
# one for the web server and for CPU workers; the default takes PyPI's CUDA build.
FROM python:3.12-slim AS build
ARG TORCH_INDEX=https://pypi.org/simple
WORKDIR /src
RUN python -m venv /opt/pairboard
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN /opt/pairboard/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple \
    "$(grep '^torch==' constraints.txt)"
COPY app app
COPY worker worker
COPY ml ml
COPY templates templates
COPY migrations migrations
RUN /opt/pairboard/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 pairboard && mkdir /data && chown pairboard /data
COPY --from=build /opt/pairboard /opt/pairboard
ENV PATH=/opt/pairboard/bin:$PATH PAIRBOARD_DATA_DIR=/data PYTHONUNBUFFERED=1
USER pairboard
VOLUME /data
EXPOSE 8000
CMD ["pairboard", "web"]
