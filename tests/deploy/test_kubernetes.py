"""The manifests: that Kubernetes would take them, as far as its schemas tell, and that they say what was promised."""

import re
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from service import keys
from service.settings import Settings
from tests.e2e.server import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OLDEST, NEWEST = "1.30", "1.37"  # of Kubernetes; docs/kubernetes.md says the first
IMAGE_VOLUMES = "1.31"  # the first whose schema has them
OVERLAYS = sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))
MANIFESTS = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")

KEYS = keys.line("alice", "a key")
TOKEN = "correct-horse-battery"

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
    "HTTPRoute": closed(
        ["parentRefs", "rules"],
        parentRefs={"type": "array", "items": closed(["name"], name=TEXT, namespace=TEXT)},
        hostnames={"type": "array", "items": TEXT},
        rules={
            "type": "array",
            "items": closed(
                ["backendRefs"],
                backendRefs={"type": "array", "items": closed(["name", "port"], name=TEXT, port=COUNT, weight=COUNT)},
            ),
        },
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


def check(manifest: dict[str, Any], oldest: str = OLDEST) -> None:
    import jsonschema

    if manifest["kind"] in SPECS:
        jsonschema.validate(manifest["spec"], SPECS[manifest["kind"]])
    else:
        for version in (oldest, NEWEST):
            validate(manifest, version)


def validate(manifest: dict[str, Any], version: str) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(manifest, version, strict=True)


def refused() -> Any:
    """Return a block in which Kubernetes' schema refuses a manifest."""
    import kubernetes_validate  # in functions, as it and jsonschema take 2 s to import: not for every collection

    return pytest.raises(kubernetes_validate.ValidationError)


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
    with refused():
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
    found = [*(FOLDER / "base").glob("[!k]*.yaml"), *(FOLDER / "components" / "monitoring").glob("[!k]*.yaml")]
    there = {(read(path)["kind"], read(path)["metadata"]["name"]) for path in found}
    for path in KUSTOMIZATIONS:
        for patch in read(path).get("patches", ()):
            if "target" in patch:
                assert patch["target"]["kind"] in {kind for kind, _ in there}
                continue
            given = yaml.safe_load(patch["patch"]) if "patch" in patch else read(path.parent / patch["path"])
            assert (given["kind"], given["metadata"]["name"]) in there


def test_the_page_says_the_oldest_kubernetes_and_why() -> None:
    (said,) = re.findall(r"Kubernetes (\d\.\d+) or later", (ROOT / "docs" / "kubernetes.md").read_text())
    assert said == OLDEST
    assert "sleep" in container()["lifecycle"]["preStop"]
    with refused():  # 1.29 has it behind a feature gate
        validate(base("deployment"), "1.28")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the manifests with the files that an operator adds."""
    copy = shutil.copytree(FOLDER, tmp_path / "kubernetes")
    (copy / "overlays" / "access" / "api-keys").write_text(KEYS)
    (copy / "overlays" / "access" / "admin.env").write_text(f"NELUMBO_ADMIN_TOKEN={TOKEN}\n")
    (copy / "overlays" / "s3" / "s3.env").write_text("AWS_ACCESS_KEY_ID=me\nAWS_SECRET_ACCESS_KEY=mine\n")
    return copy


def resolved(overlay: Path) -> list[dict[str, Any]]:
    command = ["kubectl", "kustomize", overlay]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(text))


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl resolves the overlays")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_resolves_to_manifests_that_keep_the_schemas(overlay: str, folder: Path) -> None:
    manifests = resolved(folder / "overlays" / overlay)
    for manifest in manifests:
        check(manifest, IMAGE_VOLUMES if overlay == "image-volume" else OLDEST)
        assert manifest["metadata"]["namespace"] == "nelumbo"
    kinds = {manifest["kind"] for manifest in manifests}
    assert ("HorizontalPodAutoscaler" in kinds) == (overlay != "keda")
    assert ("ScaledObject" in kinds) == (overlay == "keda")
    assert ("Secret" in kinds) == (overlay in ("access", "s3"))
    drawers = containers(manifests)
    assert len(drawers) == (2 if overlay == "canary" else 1)
    for drawer in drawers.values():
        assert re.search(r"-cuda(@|$)" if overlay == "cuda" else r"/nelumbo:0\.1\.0(@|$)", drawer["image"])
        assert ("nvidia.com/gpu" in drawer["resources"]["limits"]) == (overlay == "cuda")
        assert drawer["securityContext"] == container()["securityContext"]
        assert {one["name"] for one in container()["env"]} <= {one["name"] for one in drawer["env"]}


def containers(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the only container of each Deployment."""
    found = {}
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            (found[manifest["metadata"]["name"]],) = manifest["spec"]["template"]["spec"]["containers"]
    return found


def named(manifests: list[dict[str, Any]], kind: str, name: str = "nelumbo") -> dict[str, Any]:
    """Return the spec of the manifest of this kind and name."""
    (found,) = (one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name)
    spec: dict[str, Any] = found["spec"]
    return spec


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl resolves the overlay")
def test_models_of_a_bucket_are_fetched_into_a_volume_with_the_keys_of_the_secret(folder: Path) -> None:
    manifests = resolved(folder / "overlays" / "s3")
    (secret,) = (one for one in manifests if one["kind"] == "Secret")
    drawer, spec = containers(manifests)["nelumbo"], named(manifests, "Deployment")["template"]["spec"]
    assert drawer["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    assert secret["data"].keys() == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    given = {one["name"]: one["value"] for one in drawer["env"]}
    settings = Settings(models=given["NELUMBO_MODELS"])
    assert settings.source == given["NELUMBO_MODELS"]
    mounts = {mount["name"]: mount for mount in drawer["volumeMounts"]}
    assert mounts["cache"]["mountPath"] == f"{given['XDG_CACHE_HOME']}/nelumbo"
    assert not mounts["cache"].get("readOnly")
    (cache,) = (volume for volume in spec["volumes"] if volume["name"] == "cache")
    limit = drawer["resources"]["limits"]["ephemeral-storage"]
    assert [cache["emptyDir"]["sizeLimit"], limit] == ["1Gi", "2Gi"]
    egress = named(manifests, "NetworkPolicy")["egress"]
    assert {port["port"] for rule in egress for port in rule["ports"]} == {53, 443}
    assert named(manifests, "NetworkPolicy")["ingress"] == base("network")["spec"]["ingress"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl resolves the overlay")
def test_models_of_an_image_are_mounted_where_the_service_looks(folder: Path) -> None:
    manifests = resolved(folder / "overlays" / "image-volume")
    drawer, spec = containers(manifests)["nelumbo"], named(manifests, "Deployment")["template"]["spec"]
    (models,) = (volume for volume in spec["volumes"] if volume["name"] == "models")
    assert models["image"].keys() == {"reference", "pullPolicy"}
    mounts = {mount["name"]: mount for mount in drawer["volumeMounts"]}
    (place,) = re.findall(r"NELUMBO_MODELS=(\S+)", (ROOT / "Dockerfile").read_text())
    assert mounts["models"] == {"name": "models", "mountPath": place, "readOnly": True}
    assert named(manifests, "NetworkPolicy")["egress"] == []  # it is the kubelet that pulls
    with refused():
        check(next(one for one in manifests if one["kind"] == "Deployment"))


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl resolves the overlay")
def test_a_canary_has_pods_of_its_own_and_its_share_of_the_requests(folder: Path) -> None:
    manifests = resolved(folder / "overlays" / "canary")
    (rule,) = named(manifests, "HTTPRoute")["rules"]
    weights = {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}
    assert weights["nelumbo"] > weights["nelumbo-canary"] > 0
    for name in weights:
        labels = named(manifests, "Deployment", name)["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == name
        spread = named(manifests, "Deployment", name)["template"]["spec"]["topologySpreadConstraints"]
        selectors = [
            named(manifests, "Deployment", name)["selector"]["matchLabels"],
            named(manifests, "Service", name)["selector"],
            named(manifests, "PodDisruptionBudget", name)["selector"]["matchLabels"],
            named(manifests, "NetworkPolicy", name)["podSelector"]["matchLabels"],
            *(one["labelSelector"]["matchLabels"] for one in spread),
        ]
        assert selectors == [{"app.kubernetes.io/name": name}] * 6
        assert named(manifests, "HorizontalPodAutoscaler", name)["scaleTargetRef"]["name"] == name
        (service,) = (one for one in manifests if one["kind"] == "Service" and one["metadata"]["name"] == name)
        assert named(manifests, "ServiceMonitor", name)["selector"]["matchLabels"] == service["metadata"]["labels"]
        let_in = named(manifests, "NetworkPolicy", name)["ingress"][0]
        assert [port["port"] for port in let_in["ports"]] == ["http"]
        gateways = [one["namespace"] for one in named(manifests, "HTTPRoute")["parentRefs"]]
        allowed = [one["namespaceSelector"]["matchLabels"] for one in let_in["from"] if "namespaceSelector" in one]
        assert [{"kubernetes.io/metadata.name": gateway} for gateway in gateways] == allowed[1:]
    assert [one["metadata"]["name"] for one in manifests if one["kind"] == "PrometheusRule"] == ["nelumbo"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl resolves the overlay")
def test_keys_and_token_reach_the_pod_as_the_secrets_that_the_service_reads(folder: Path, tmp_path: Path) -> None:
    manifests = resolved(folder / "overlays" / "access")
    held = {
        manifest["metadata"]["name"]: {key: b64decode(value) for key, value in manifest["data"].items()}
        for manifest in manifests
        if manifest["kind"] == "Secret"
    }
    (deployment,) = (manifest for manifest in manifests if manifest["kind"] == "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    given = {one["name"]: one for one in spec["containers"][0]["env"]}
    token = given["NELUMBO_ADMIN_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert held[token["name"]][token["key"]].decode() == TOKEN
    mounted = {volume["name"]: volume.get("secret") for volume in spec["volumes"]}
    (mount,) = (mount for mount in spec["containers"][0]["volumeMounts"] if mounted[mount["name"]])
    assert mount["readOnly"]
    assert "subPath" not in mount
    secret = mounted[mount["name"]]
    assert secret["defaultMode"] == 0o444
    path = Path(given["NELUMBO_API_KEYS"]["value"])
    assert path.parent == Path(mount["mountPath"])
    (tmp_path / path.name).write_bytes(held[secret["secretName"]][path.name])
    settings = Settings(api_keys=tmp_path / path.name, admin_token=SecretStr(TOKEN))
    assert keys.read(settings.api_keys) == keys.read(folder / "overlays" / "access" / "api-keys")
    assert TOKEN not in yaml.safe_dump(deployment)


def test_git_ignores_the_files_with_secrets() -> None:
    for overlay in ("access", "s3"):
        for generator in read(FOLDER / "overlays" / overlay / "kustomization.yaml")["secretGenerator"]:
            for name in [*generator.get("files", ()), *generator.get("envs", ())]:
                path = FOLDER / "overlays" / overlay / name
                assert subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT).returncode == 0


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
    (scraped,) = monitor["endpoints"]
    assert scraped["port"] in {port["name"] for port in base("service")["spec"]["ports"]}


def test_only_prometheus_reaches_the_metrics() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    (given,) = (one["value"] for one in container()["env"] if one["name"] == "NELUMBO_METRICS_PORT")
    assert int(given) == ports["metrics"] != ports["http"]
    assert {port["targetPort"] for port in base("service")["spec"]["ports"]} == ports.keys()
    (scraped,) = read(FOLDER / "components" / "monitoring" / "servicemonitor.yaml")["spec"]["endpoints"]
    assert scraped["port"] == "metrics"
    let_in: dict[str, Any] = {}
    for rule in base("network")["spec"]["ingress"]:
        let_in |= {port["port"]: rule["from"] for port in rule["ports"]}
    assert let_in.keys() == ports.keys()
    assert let_in["metrics"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert let_in["metrics"][0] not in let_in["http"]


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
