"""The manifests are what their readers take, say what the code says, and hold no secret.

Those of the cluster launcher are checked by Ray's own loader and schema. Of that of KubeRay, the pods
are checked by the schemas that Kubernetes publishes, the rest against facts of KubeRay's published
types (`kuberay_facts`), as its definition is in no Python package.
"""

import re
import runpy
import shlex
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes_validate.utils import all_versions, validate

from avrep.config import load_config

from .kuberay_facts import RAY_JOB

_ROOT = Path(__file__).resolve().parents[2]
_JOBS = _ROOT / "ray_jobs"
_CLUSTERS = ("cluster_cloud.yaml", "cluster_machines.yaml")
_ALL = ("rayjob.yaml", *_CLUSTERS)


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((_JOBS / name).read_text())


def groups_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = manifest["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def check_job(manifest: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(RAY_JOB).validate(manifest)
    pods = [
        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {}, "template": group["template"]}
        for group in groups_of(manifest)
    ]
    for kubernetes, pod in product(all_versions(), pods):
        validate(pod, kubernetes, strict=True)


@pytest.mark.parametrize("name", _CLUSTERS)
def test_the_launcher_of_ray_takes_the_cluster(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(read(name))
    validate_config(config)
    assert config["max_workers"] >= 2
    with pytest.raises(jsonschema.ValidationError, match="unknown_key"):
        validate_config({**config, "unknown_key": 1})


def test_the_job_has_the_fields_that_kuberay_and_kubernetes_publish() -> None:
    check_job(read("rayjob.yaml"))


def _misspelt(manifest: dict[str, Any]) -> None:
    manifest["spec"]["rayClusterSpec"]["workerGroupSpec"] = []


def _without_params(manifest: dict[str, Any]) -> None:
    del manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]


def _number_for_text(manifest: dict[str, Any]) -> None:
    manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def _unknown_mode(manifest: dict[str, Any]) -> None:
    manifest["spec"]["submissionMode"] = "SSHMode"


def _first_worker(manifest: dict[str, Any]) -> dict[str, Any]:
    return groups_of(manifest)[1]["template"]["spec"]["containers"][0]


def _without_image(manifest: dict[str, Any]) -> None:
    del _first_worker(manifest)["image"]


def _no_quantity(manifest: dict[str, Any]) -> None:
    _first_worker(manifest)["resources"]["limits"]["memory"] = "96 GB"


def _misspelt_in_a_pod(manifest: dict[str, Any]) -> None:
    _first_worker(manifest)["volumeMounts"][0]["path"] = "/shared"


def _text_for_number_in_a_pod(manifest: dict[str, Any]) -> None:
    groups_of(manifest)[0]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "1"


@pytest.mark.parametrize(
    "spoil",
    [
        _misspelt,
        _without_params,
        _number_for_text,
        _unknown_mode,
        _without_image,
        _no_quantity,
        _misspelt_in_a_pod,
        _text_for_number_in_a_pod,
    ],
)
def test_the_check_of_the_job_sees_what_is_wrong(spoil: Callable[[dict[str, Any]], None]) -> None:
    manifest = read("rayjob.yaml")
    spoil(manifest)
    with pytest.raises(jsonschema.ValidationError):
        check_job(manifest)


def test_every_volume_that_is_mounted_is_there_and_groups_fit_their_bounds() -> None:
    head, *groups = groups_of(read("rayjob.yaml"))
    assert len({group["groupName"] for group in groups}) == len(groups)
    for group in (head, *groups):
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert container["resources"]["requests"] == container["resources"]["limits"]
    for group in groups:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_job_asks_for_as_many_trainers_and_decoders_as_there_are_places() -> None:
    job = read("rayjob.yaml")["spec"]
    config = load_config(*_config_and_overrides(job["entrypoint"]))
    of_group = {
        group["groupName"]: (
            group["replicas"],
            group["template"]["spec"]["containers"][0]["resources"]["limits"],
        )
        for group in job["rayClusterSpec"]["workerGroupSpecs"]
    }
    num_nodes, limits = of_group["trainers"]
    assert num_nodes * int(limits["nvidia.com/gpu"]) == config.train.num_workers
    cores = sum(nodes * int(limits["cpu"]) for nodes, limits in of_group.values())
    assert config.train.num_workers * (1 + config.data.num_decode_actors) <= cores


@pytest.mark.parametrize("name", _ALL)
def test_every_command_that_a_manifest_shows_would_run(name: str) -> None:
    text = (_JOBS / name).read_text()
    if name == "rayjob.yaml":
        commands = [read(name)["spec"]["entrypoint"]]
    else:
        unwrapped = re.sub(r"\\\n# +", "", text)
        commands = re.findall(r"-- +(python ray_jobs/.*)", unwrapped)
    assert commands
    for command in commands:
        script = Path(command.split()[1].removeprefix("/opt/avrep/"))
        assert (_ROOT / script).is_file()
        config = load_config(*_config_and_overrides(command))
        # No GPU may be registered yet when the job starts: what the trainers' nodes have them for.
        assert config.train.device == "cuda"


@pytest.mark.parametrize("name", _ALL)
def test_a_manifest_is_for_the_ray_that_is_tested(name: str) -> None:
    text = (_JOBS / name).read_text()
    tags = re.findall(r"(?:avrep|ray):(\d+\.\d+\.\d+)", text)
    assert set(tags) <= {version("ray")}
    if name == "rayjob.yaml":
        assert read(name)["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")
        assert tags


_SECRETS = (
    ".env",
    "configs/.env.local",
    ".aws/credentials",
    ".netrc",
    "keys/server.pem",
    "configs/store.key",
    "gcp-credentials.json",
    "service-account-train.json",
    "secrets/store.yaml",
    "deep/down/id_ed25519",
    "kubeconfig.yaml",
    ".envrc",
    ".git-credentials",
    ".pypirc",
    ".docker/config.json",
    ".boto",
    ".s3cfg",
    ".huggingface/token",
    ".passwd-s3fs",
    "deep/rclone.conf",
    "id_ecdsa",
)
_TRAVELS = (
    "configs/quickstart.yaml",
    "ray_jobs/pretrain.py",
    "avrep/report/report.css",
    "avrep/media/keyframes.py",
    "pyproject.toml",
)


@pytest.mark.parametrize("by", ["ray job submit --working-dir .", "ray_jobs/local.py"])
def test_configs_travel_with_a_job_and_secrets_never_do(by: str, tmp_path: Path) -> None:
    """The archive that Ray makes of a folder with this project's ignore files, as it uploads it."""
    from ray._private.runtime_env.packaging import create_package

    folder = tmp_path / "project"
    for name in (
        *_SECRETS,
        *_TRAVELS,
        "runs/first/config.yaml",
        ".venv/lib/site.py",
        ".git/config",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    for ignore in (".gitignore", ".rayignore"):
        (folder / ignore).write_text((_ROOT / ignore).read_text())
    excludes: list[str] | None = None
    if by == "ray_jobs/local.py":
        excludes = runpy.run_path(str(_JOBS / "local.py"))["runtime_env"](folder)["excludes"]
        # As on an older Ray, which does not read it.
        (folder / ".rayignore").unlink()
    archive = tmp_path / "package.zip"
    create_package(str(folder), archive, include_gitignore=True, excludes=excludes)
    with zipfile.ZipFile(archive) as package:
        names = {name for name in package.namelist() if not name.endswith("/")}
    assert names - {".gitignore", ".rayignore"} == set(_TRAVELS)


def test_no_file_of_the_project_that_a_job_needs_is_left_behind(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    archive = tmp_path / "package.zip"
    create_package(str(_ROOT), archive, include_gitignore=True)
    with zipfile.ZipFile(archive) as package:
        names = set(package.namelist())
    needed = {path.relative_to(_ROOT).as_posix() for path in _needed()}
    assert needed <= names


def _needed() -> Iterator[Path]:
    for folder, kinds in (
        ("avrep", (".py", ".css")),
        ("configs", (".yaml",)),
        ("ray_jobs", (".py",)),
    ):
        yield from (p for p in (_ROOT / folder).rglob("*") if p.suffix in kinds)
    yield _ROOT / "pyproject.toml"


def test_the_manifests_hold_no_secret() -> None:
    for name in _ALL:
        text = (_JOBS / name).read_text()
        assert not re.search(r"(?i)(secret_access|password|token|api_key)\w*\s*[:=]", text)
        # Keys come from the cluster by name.
        assert "BEGIN " not in text


def _config_and_overrides(command: str) -> tuple[Path, list[str]]:
    words = shlex.split(command)
    config = next(word for word in words if word.endswith(".yaml"))
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    return _ROOT / config.removeprefix("/opt/avrep/"), overrides
