"""Every configuration file to deploy with is what its program reads: by its schema, its linter,
or the program itself where it is installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.certificates import certificate

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
BIN = Path(sys.executable).parent
CADDYFILES = sorted((DEPLOY / "caddy").iterdir())


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- compose ------------------------------------------------------------------


def checked_compose(path: Path) -> subprocess.CompletedProcess[str]:
    tool = BIN / "check-jsonschema"

    return run(tool, "--builtin-schema", "vendor.compose-spec", path)


def test_the_compose_file_keeps_to_the_schema_of_compose_files() -> None:
    checked = checked_compose(ROOT / "docker-compose.yml")

    assert 0 == checked.returncode, checked.stdout


def test_a_compose_file_with_a_mistake_is_found(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(text.replace("mem_limit:", "memlimit:"))

    assert 1 == checked_compose(broken).returncode


# --- systemd ------------------------------------------------------------------


def verified(folder: Path, text: str) -> str:
    """What systemd says of a unit whose program is on this machine."""
    unit = folder / "agent.service"
    unit.write_text(text.replace("/opt/agent/bin/agent", "/bin/true"))
    checked = run("systemd-analyze", "verify", "--man=no", unit)

    return checked.stdout + checked.stderr + "failed" * bool(checked.returncode)


def unit_text() -> str:
    return (DEPLOY / "agent.service").read_text("utf-8")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    assert "" == verified(tmp_path, unit_text())
    assert "" != verified(tmp_path, unit_text().replace("[Service]", "[Servise]"))


def test_the_unit_says_what_the_program_needs() -> None:
    """Twenty seconds to finish, as in the other files; a wrong setting is not tried again."""
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit_text(), re.MULTILINE))
    expected = {
        "ExecStart": "/opt/agent/bin/agent serve",
        "User": "agent",
        "TimeoutStopSec": "20",
        "RestartPreventExitStatus": "2",
        "MemoryMax": "1G",
        "NoNewPrivileges": "true",
    }

    assert expected == {name: settings[name] for name in expected}


# --- nginx --------------------------------------------------------------------


def nginx_around(folder: Path, site: str) -> Path:
    """The whole configuration that a site stands in."""
    (folder / "agent.conf").write_text(site)
    whole = folder / "nginx.conf"
    whole.write_text(
        f"pid {folder}/pid;\nerror_log {folder}/log;\nevents {{}}\n"
        f"http {{ access_log off; include {folder}/agent.conf; }}\n"
    )

    return whole


def nginx_errors(path: Path) -> list[Any]:
    parsed = json.loads(run(BIN / "crossplane", "parse", "--strict", path).stdout)

    return [error["error"] for error in parsed["errors"]]


def test_nginx_s_file_has_its_directives_where_they_belong(tmp_path: Path) -> None:
    site = (DEPLOY / "nginx" / "agent.conf").read_text("utf-8")
    assert [] == nginx_errors(nginx_around(tmp_path, site))

    for wrong in (
        site.replace("proxy_pass", "proxy_pas"),
        site.replace("proxy_set_header Host $host", "proxy_set_header Host"),
        site.rstrip().removesuffix("}"),
        site + "least_conn;\n",
    ):
        assert [] != nginx_errors(nginx_around(tmp_path, wrong))


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_nginx_itself_takes_it(tmp_path: Path) -> None:
    site = (DEPLOY / "nginx" / "agent.conf").read_text("utf-8")
    certificate, key = certified(tmp_path)
    site = re.sub(r"(ssl_certificate) .+;", rf"\1 {certificate};", site)
    site = re.sub(r"(ssl_certificate_key) .+;", rf"\1 {key};", site)
    checked = run("nginx", "-t", "-c", nginx_around(tmp_path, site))

    assert 0 == checked.returncode, checked.stderr


# --- Caddy --------------------------------------------------------------------

KNOWN: dict[str, set[str]] = {
    "site": {"handle", "reverse_proxy", "respond"},
    "handle": {"reverse_proxy", "respond"},
    "reverse_proxy": {"dynamic", "lb_policy", "lb_try_duration", "trusted_proxies"},
    "dynamic": {"name", "port", "refresh"},
}
"""The directives that these files use, by the block that Caddy allows them in."""


def caddy_errors(text: str) -> list[str]:
    """Lines that stand in no block, in the wrong one, or that end one too many."""
    blocks, errors = ["file"], []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words == ["}"]:
            errors += [] if len(blocks) > 1 else [line]
            blocks = blocks[:-1] or blocks
            continue
        inside, opens = blocks[-1], words[-1] == "{"
        if inside != "file" and words[0] not in KNOWN.get(inside, set()):
            errors.append(line)
        if inside == "file" and not opens:
            errors.append(line)
        if opens:
            blocks.append("site" if inside == "file" else words[0])

    return errors + blocks[1:]


@pytest.mark.parametrize("path", CADDYFILES, ids=lambda path: path.name)
def test_caddy_s_files_have_their_directives_where_they_belong(path: Path) -> None:
    text = path.read_text("utf-8")
    assert [] == caddy_errors(text)

    for wrong in (
        text.replace("reverse_proxy", "reverse-proxy"),
        text.rstrip().removesuffix("}"),
        text + "}\n",
        text + "respond 404\n",
    ):
        assert [] != caddy_errors(wrong)


@pytest.mark.skipif(not shutil.which("caddy"), reason="Caddy is not installed")
@pytest.mark.parametrize("path", CADDYFILES, ids=lambda path: path.name)
def test_caddy_itself_takes_them(path: Path, tmp_path: Path) -> None:
    command = ("caddy", "validate", "--adapter", "caddyfile", "--config", path)
    checked = run(*command, PUBLIC_HOST="localhost", HOME=str(tmp_path))

    assert 0 == checked.returncode, checked.stderr


# --- Kubernetes ---------------------------------------------------------------


def kustomization() -> dict[str, Any]:
    text = (KUBERNETES / "kustomization.yaml").read_text("utf-8")
    parsed: dict[str, Any] = yaml.safe_load(text)

    return parsed


def validated(*paths: Path) -> subprocess.CompletedProcess[str]:
    return run(BIN / "kubernetes-validate", "--strict", "--quiet", *paths)


@pytest.mark.skipif(
    not (BIN / "kubernetes-validate").exists(), reason="needs `uv run --group ci`"
)
def test_kubernetes_takes_every_resource(tmp_path: Path) -> None:
    resources = [KUBERNETES / name for name in kustomization()["resources"]]
    checked = validated(*resources)
    assert (0, "") == (checked.returncode, checked.stdout), checked.stderr

    broken = tmp_path / "deployment.yaml"
    text = (KUBERNETES / "deployment.yaml").read_text("utf-8")
    broken.write_text(text.replace("replicas:", "replica:"))
    assert 0 != validated(broken).returncode


def test_the_kustomization_names_every_file_and_no_other() -> None:
    """Secrets have an example each, and are not committed."""
    named = kustomization()
    there = {path.name for path in KUBERNETES.iterdir() if path.suffix != ".env"}
    secrets = [env for one in named["secretGenerator"] for env in one["envs"]]
    expected = {
        "kustomization.yaml",
        *named["resources"],
        *(f"{env}.example" for env in secrets),
    }

    assert expected == there
    ignored = run("git", "check-ignore", *(KUBERNETES / env for env in secrets))
    assert len(secrets) == ignored.stdout.count("\n")


def test_the_deployment_uses_what_is_declared_elsewhere() -> None:
    """Names of secrets, settings, image and ports fit each other."""
    named = kustomization()
    pod = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text("utf-8"))["spec"]
    containers = pod["template"]["spec"]
    used = {
        next(iter(source.values()))["name"]
        for one in (*containers["initContainers"], *containers["containers"])
        for source in one["envFrom"]
    }
    declared = {
        one["name"]
        for kind in ("configMapGenerator", "secretGenerator")
        for one in named[kind]
    }

    assert declared == used
    assert {image["name"] for image in named["images"]} == {
        one["image"]
        for one in (*containers["initContainers"], *containers["containers"])
    }
    assert 20 == containers["terminationGracePeriodSeconds"]


# --- all of them --------------------------------------------------------------


def test_every_file_to_deploy_with_is_checked_here_or_next_door() -> None:
    """A new one needs a check of its own."""
    known = {
        *("agent.service", "constraints.txt", "postgres-roles.sh"),
        *("nginx/agent.conf", *(f"caddy/{path.name}" for path in CADDYFILES)),
        *(f"kubernetes/{path.name}" for path in KUBERNETES.iterdir()),
        # test_monitoring.py
        *("grafana/agent.json", "prometheus/alerts.yml", "prometheus/prometheus.yml"),
    }
    found = {
        str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file()
    }

    assert known == found


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key, as files."""
    made = certificate("agent.example.org")
    files = (folder / "certificate.pem", folder / "key.pem")
    for file, content in zip(files, (made.certificate, made.key), strict=True):
        file.write_bytes(content)

    return files
