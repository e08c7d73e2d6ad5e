# The image of every process: worker (the default), gateway, Flower, twin. Built from requirements.lock.
# To pin BASE exactly: --build-arg BASE=python:3.13-slim-trixie@sha256:…
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CONSTRAINT=/dev/null
WORKDIR /src
# The lock names every package: with --no-deps pip installs nothing else.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/kilnhand
RUN python -m pip --python /opt/kilnhand/bin/python install --no-deps --require-hashes --only-binary :all: -r requirements.lock \
    && python -m pip --python /opt/kilnhand/bin/python check
RUN python -m venv --without-pip /opt/build
RUN python -m pip --python /opt/build/bin/python install --no-deps --require-hashes --only-binary :all: -r requirements-build.lock \
    && python -m pip --python /opt/build/bin/python check
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY tasks tasks
COPY worker worker
COPY twin twin
RUN /opt/build/bin/hatchling build --target wheel --directory /opt/wheel
RUN python -m pip --python /opt/kilnhand/bin/python install --no-index --no-deps /opt/wheel/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="kilnhand" org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/kilnhand/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# These are mount points. They belong to the user, so new volumes belong to it too.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin kilnhand \
    && install --directory --owner=kilnhand --group=kilnhand /data/files /data/flower /scratch
COPY --from=build /opt/kilnhand /opt/kilnhand
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "worker.app", "worker"]
