# syntax=docker/dockerfile:1

# The same base for both stages, named exactly: a build next month is the same build.
ARG PYTHON=python:3.13.9-slim-trixie

# Installs into a folder of its own, so that the image below holds no build tool and no cache.
FROM ${PYTHON} AS build
RUN python -m venv /opt/agent
WORKDIR /src
COPY pyproject.toml README.md ./
COPY agent agent
COPY channels channels
COPY storage storage
COPY migrations migrations
COPY deploy/constraints.txt deploy/constraints.txt
# All extras, no development tools: reports need their statistics, and backups and moves need Postgres' programs.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/agent/bin/pip install --constraint deploy/constraints.txt ".[all]"

FROM ${PYTHON}
RUN useradd --system --uid 10001 --home-dir /var/lib/agent --create-home --shell /usr/sbin/nologin agent
COPY --from=build /opt/agent /opt/agent
# A server is reached from outside its container; which port is published is decided where it runs.
ENV PATH=/opt/agent/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AGENT_HOME=/var/lib/agent \
    HTTP_HOST=0.0.0.0 \
    HTTP_PORT=8080
# By number, so that an orchestrator can see that it is not root.
USER 10001
WORKDIR /var/lib/agent
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ['HTTP_PORT']}/health/live\", timeout=4)"]
ENTRYPOINT ["agent"]
CMD ["serve"]
