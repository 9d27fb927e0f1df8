"""What KubeRay's published types say of a RayJob, as far as our manifest goes.

Restated from KubeRay's API reference (ray.io/v1: RayJobSpec, RayClusterSpec, HeadGroupSpec,
WorkerGroupSpec). It is no copy of the custom resource definition, which is 1.2 MB, most of it
Kubernetes' own types, and in no Python package: a field that is not listed here is refused though the
operator may know it, and what the operator checks beyond types is not checked.
"""

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "object", "additionalProperties": STRING}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[KMGTPE]i?)?$"}
QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}


def fields(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def several(of: Schema) -> Schema:
    return {"type": "array", "items": of}


# What a pod needs to start and Kubernetes' own schema, which sees all else of it, leaves open.
CONTAINER: Schema = {
    "required": ["image"],
    "properties": {
        "resources": {"properties": {"requests": QUANTITIES, "limits": QUANTITIES}},
    },
}
POD_TEMPLATE: Schema = {
    "type": "object",
    "required": ["spec"],
    "properties": {"spec": {"properties": {"containers": several(CONTAINER)}}},
}
HEAD_GROUP = fields(("rayStartParams", "template"), rayStartParams=TEXTS, template=POD_TEMPLATE)
WORKER_GROUP = fields(
    ("groupName", "rayStartParams", "template", "minReplicas", "maxReplicas"),
    groupName=STRING,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    rayStartParams=TEXTS,
    template=POD_TEMPLATE,
)
RAY_JOB = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    # A name of Kubernetes, short enough for the names that the operator makes of it.
    metadata=fields(
        ("name",),
        name={"type": "string", "pattern": r"^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 47},
        namespace=STRING,
        labels=TEXTS,
    ),
    spec=fields(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=STRING,
        runtimeEnvYAML=STRING,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
        backoffLimit=WHOLE,
        activeDeadlineSeconds={**WHOLE, "minimum": 1},
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=WHOLE,
        rayClusterSpec=fields(
            ("headGroupSpec",),
            rayVersion=STRING,
            enableInTreeAutoscaling=FLAG,
            headGroupSpec=HEAD_GROUP,
            workerGroupSpecs=several(WORKER_GROUP),
        ),
    ),
)
