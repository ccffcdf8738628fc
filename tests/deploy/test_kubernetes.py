"""The manifests: that Kubernetes would take them, as far as its schemas tell, and that they say what was promised."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from service.settings import Settings
from tests.e2e.server import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
KUBERNETES = "1.37"
OVERLAYS = ["cpu", "cuda", "keda"]
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))
MANIFESTS = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has only these properties."""
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


# What we use of the kinds that Kubernetes does not know by itself, from their documentation.
SPECS = {
    "ServiceMonitor": closed(
        ["selector", "endpoints"],
        jobLabel=TEXT,
        selector=closed(["matchLabels"], matchLabels={"type": "object"}),
        endpoints={
            "type": "array",
            "items": closed(["port"], port=TEXT, path=TEXT, interval=TEXT, scrapeTimeout=TEXT),
        },
    ),
    "PrometheusRule": closed(
        ["groups"],
        groups={"type": "array", "items": closed(["name", "rules"], name=TEXT, rules={"type": "array"})},
    ),
    "ScaledObject": closed(
        ["scaleTargetRef", "triggers"],
        scaleTargetRef=closed(["name"], name=TEXT),
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        pollingInterval=COUNT,
        triggers={
            "type": "array",
            "items": closed(
                ["type", "metadata"],
                type=TEXT,
                metricType={"enum": ["AverageValue", "Value", "Utilization"]},
                metadata={"type": "object", "additionalProperties": TEXT},
            ),
        },
        fallback=closed(["failureThreshold", "replicas"], failureThreshold=COUNT, replicas=COUNT, behavior=TEXT),
        advanced={"type": "object"},
    ),
}


def read(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load(path.read_text())
    return manifest


def check(manifest: dict[str, Any]) -> None:
    if manifest["kind"] in SPECS:
        jsonschema.validate(manifest["spec"], SPECS[manifest["kind"]])
    else:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def base(name: str) -> dict[str, Any]:
    return read(FOLDER / "base" / f"{name}.yaml")


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = base("deployment")["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return dict(only)


@pytest.mark.parametrize(
    "path", [path for path in MANIFESTS if "overlays" not in path.parts], ids=lambda path: path.stem
)
def test_a_manifest_keeps_the_schema(path: Path) -> None:
    check(read(path))


def test_a_wrong_field_would_be_found() -> None:
    wrong = base("deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(wrong)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_what_a_kustomization_names_is_there_and_nothing_else_is(path: Path) -> None:
    wanted = read(path)
    for name in [*wanted["resources"], *wanted.get("components", ())]:
        found = path.parent / name
        assert found.is_file() or (found / "kustomization.yaml").is_file(), name
    files = {name for name in wanted["resources"] if name.endswith(".yaml")}
    patches = {patch["path"] for patch in wanted.get("patches", ()) if "path" in patch}
    assert {found.name for found in path.parent.glob("*.yaml")} == files | patches | {path.name}


def test_every_patch_has_something_to_patch() -> None:
    there = {(read(path)["kind"], read(path)["metadata"]["name"]) for path in (FOLDER / "base").glob("[!k]*.yaml")}
    for path in KUSTOMIZATIONS:
        for patch in read(path).get("patches", ()):
            given = yaml.safe_load(patch["patch"]) if "patch" in patch else read(path.parent / patch["path"])
            assert (given["kind"], given["metadata"]["name"]) in there


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl resolves the overlays")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_resolves_to_manifests_that_keep_the_schemas(overlay: str) -> None:
    command = ["kubectl", "kustomize", FOLDER / "overlays" / overlay]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    manifests = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(text)}
    for manifest in manifests.values():
        check(manifest)
        assert manifest["metadata"]["namespace"] == "nelumbo"
    assert ("HorizontalPodAutoscaler" in manifests) == (overlay != "keda")
    assert ("ScaledObject" in manifests) == (overlay == "keda")
    (drawer,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert drawer["image"].endswith("-cuda" if overlay == "cuda" else "/nelumbo:0.1.0")
    assert ("nvidia.com/gpu" in drawer["resources"]["limits"]) == (overlay == "cuda")
    assert drawer["securityContext"] == container()["securityContext"]
    assert {one["name"] for one in container()["env"]} <= {one["name"] for one in drawer["env"]}


def test_a_pod_has_no_more_rights_than_the_image_was_tested_with() -> None:
    assert pod()["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container()["volumeMounts"]] == ["/tmp"]
    assert pod()["automountServiceAccountToken"] is False


def test_a_pod_has_time_to_answer_what_it_accepted() -> None:
    asleep, given = container()["lifecycle"]["preStop"]["sleep"]["seconds"], Settings()
    needed = asleep + given.drain + given.deadline + given.client_timeout
    assert pod()["terminationGracePeriodSeconds"] > needed
    probe = container()["readinessProbe"]
    assert probe["httpGet"]["path"] == container()["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert container()["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_every_selector_finds_the_pods() -> None:
    labels = base("deployment")["spec"]["template"]["metadata"]["labels"]
    found = [
        base("deployment")["spec"]["selector"]["matchLabels"],
        base("service")["spec"]["selector"],
        base("disruption")["spec"]["selector"]["matchLabels"],
        base("network")["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in pod()["topologySpreadConstraints"]),
    ]
    assert found == [labels] * 6
    monitor = read(FOLDER / "components" / "monitoring" / "servicemonitor.yaml")["spec"]
    assert monitor["selector"]["matchLabels"] == base("service")["metadata"]["labels"]
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} == {
        port["name"] for port in base("service")["spec"]["ports"]
    }


def test_both_autoscalers_have_the_same_numbers() -> None:
    hpa, keda = base("autoscaler")["spec"], read(FOLDER / "components" / "keda" / "scaledobject.yaml")["spec"]
    queue, cpu = hpa["metrics"]
    assert [hpa["minReplicas"], hpa["maxReplicas"]] == [keda["minReplicaCount"], keda["maxReplicaCount"]]
    assert keda["triggers"][0]["metadata"]["threshold"] == queue["pods"]["target"]["averageValue"]
    assert queue["pods"]["metric"]["name"] in keda["triggers"][0]["metadata"]["query"]
    assert keda["triggers"][1]["metadata"]["value"] == str(cpu["resource"]["target"]["averageUtilization"])
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]


def test_every_variable_is_a_setting() -> None:
    names = {f"NELUMBO_{name.upper()}" for name in Settings.model_fields}
    for path in FOLDER.rglob("*.yaml"):
        assert set(re.findall(r"name: (NELUMBO_\w+)", path.read_text())) <= names
