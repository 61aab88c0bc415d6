"""The manifests for Kubernetes: every field is one that KubeRay's CRDs have, with a value of its type."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
TABLE = yaml.safe_load((Path(__file__).parent / "kuberay_fields.yaml").read_text(encoding="utf-8"))
MANIFESTS = ["raycluster.yaml", "rayjob.yaml", "storage.yaml"]
PLAIN: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "quantity": (int, str),
}


def load(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def mistakes(value: Any, kind: str, at: str = "") -> Iterator[str]:
    """What is wrong with a value of a type of the table."""
    if not is_of(value, kind):
        yield f"{at}: {value!r} is no {kind}"
    elif kind in TABLE:
        yield from fields(value, TABLE[kind], at)
    elif kind[0] in "[{":
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from mistakes(part, kind[1:-1], f"{at}.{key}")


def is_of(value: Any, kind: str) -> bool:
    if kind[0] == "=":
        return value in kind[1:].split("|")
    plain = PLAIN.get(kind) or (list if kind[0] == "[" else dict)
    return isinstance(value, plain) and isinstance(value, bool) <= (kind == "boolean")


def fields(value: dict[str, Any], table: dict[str, str], at: str) -> Iterator[str]:
    known = {name.rstrip("!"): kind for name, kind in table.items()}
    for name, part in value.items():
        if name in known:
            yield from mistakes(part, known[name], f"{at}.{name}")
        else:
            yield f"{at}.{name}: there is no such field"
    required = [name[:-1] for name in table if name.endswith("!")]
    yield from (f"{at}: {name} is missing" for name in required if name not in value)


def check(manifest: dict[str, Any]) -> list[str]:
    kind = str(manifest.get("kind"))
    return list(mistakes(manifest, kind)) if kind in TABLE else [f"kind: {kind!r}"]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all fields whose names the table fixes; keys of maps such as resources are free."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        if isinstance(value, dict) and not {"rayStartParams", "requests", "limits"} & set(at):
            yield (*at, key)
        yield from places(part, (*at, key))


def parent_of(manifest: dict[str, Any], place: tuple[Any, ...]) -> Any:
    found: Any = manifest
    for key in place[:-1]:
        found = found[key]
    return found


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_field_is_known_and_of_its_type(name: str) -> None:
    assert check(load(name)) == []


@pytest.mark.parametrize("name", MANIFESTS)
def test_each_field_misspelt_is_refused(name: str) -> None:
    manifest = load(name)
    spots = list(places(manifest))
    assert len(spots) > 5
    for place in spots:
        wrong = copy.deepcopy(manifest)
        parent = parent_of(wrong, place)
        parent[f"{place[-1]}x"] = parent.pop(place[-1])
        assert check(wrong), place


@pytest.mark.parametrize("name", MANIFESTS)
def test_each_field_of_another_type_is_refused(name: str) -> None:
    manifest = load(name)
    for place in places(manifest):
        wrong = copy.deepcopy(manifest)
        value = parent_of(wrong, place)[place[-1]]
        parent_of(wrong, place)[place[-1]] = "text" if isinstance(value, (dict, list, bool, int)) else {"a": "map"}
        assert check(wrong), place


@pytest.mark.parametrize("place", ["headGroupSpec", "workerGroupSpecs"])
def test_what_is_required_must_be_there(place: str) -> None:
    manifest = load("raycluster.yaml")
    groups = manifest["spec"][place]
    del (groups if place == "headGroupSpec" else groups[0])["template"]
    assert any("template is missing" in found for found in check(manifest))


def clusters() -> list[Any]:
    return [
        pytest.param(load("raycluster.yaml")["spec"], id="raycluster"),
        pytest.param(load("rayjob.yaml")["spec"]["rayClusterSpec"], id="rayjob"),
    ]


def pods(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


@pytest.mark.parametrize("cluster", clusters())
def test_the_token_is_on_and_nothing_runs_as_root(cluster: dict[str, Any]) -> None:
    assert cluster["authOptions"] == {"mode": "token"}
    assert Version(cluster["rayVersion"]) >= Version("2.55")  # pyproject.toml's; KubeRay demands 2.52 for tokens
    for pod in pods(cluster):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000
        [container] = pod["containers"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["envFrom"] == [{"secretRef": {"name": "raytuner-keys", "optional": True}}]


@pytest.mark.parametrize("cluster", clusters())
def test_what_is_mounted_is_a_volume_and_all_pods_share_the_claim(cluster: dict[str, Any]) -> None:
    claim = load("storage.yaml")["metadata"]["name"]
    for pod in pods(cluster):
        mounts = {
            mount["name"]: mount["mountPath"] for container in pod["containers"] for mount in container["volumeMounts"]
        }
        assert mounts["shared"] == "/shared"
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert mounts.keys() == volumes.keys()
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim


def test_the_job_runs_on_the_same_cluster() -> None:
    """Apart from the config, which only the head of the job needs."""
    job = load("rayjob.yaml")["spec"]["rayClusterSpec"]
    head = job["headGroupSpec"]["template"]["spec"]
    head["volumes"] = [volume for volume in head["volumes"] if volume["name"] != "config"]
    [container] = head["containers"]
    container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] != "config"]
    assert job == load("raycluster.yaml")["spec"]
