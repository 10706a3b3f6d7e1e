#!/usr/bin/env python3
"""What an operator written in Python does: reads, writes, the patch types, and an informer, over TLS.

usage: scenario.py KUBECONFIG
"""
import queue
import sys
import threading

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

NAMESPACE = "default"


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiException as error:
        expect(error.status == status, f"expected {status}, got {error.status}: {error.body}")
        return
    raise AssertionError(f"{call.__name__} succeeded, expected {status}")


def objects(core):
    """Create, read, replace, list by label, delete; conflicts and absences are refused."""
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a", labels={"app": "x"}), data={"k": "1"})
    created = core.create_namespaced_config_map(NAMESPACE, body)
    expect(created.metadata.uid and created.metadata.creation_timestamp, "the server names and dates it")
    refused(409, core.create_namespaced_config_map, NAMESPACE, body)
    read = core.read_namespaced_config_map("a", NAMESPACE)
    expect(read.data == {"k": "1"}, read.data)
    read.data["k"] = "2"
    replaced = core.replace_namespaced_config_map("a", NAMESPACE, read)
    expect(replaced.metadata.resource_version != read.metadata.resource_version, "a write is a new version")
    refused(409, core.replace_namespaced_config_map, "a", NAMESPACE, read)
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="app=x")
    expect([item.metadata.name for item in listed.items] == ["a"], listed)
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "dry"}}, dry_run="All")
    refused(404, core.read_namespaced_config_map, "dry", NAMESPACE)
    core.delete_namespaced_config_map("a", NAMESPACE)
    refused(404, core.read_namespaced_config_map, "a", NAMESPACE)


def patches(apps, core):
    """The four patches: strategic (the default of the client), merge, JSON, and apply."""
    container = {"name": "c", "image": "one"}
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": "d"}}, "template": template}
    apps.create_namespaced_deployment(NAMESPACE, {"metadata": {"name": "d"}, "spec": spec})
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "s", "image": "two"}]}}}}
    merged = apps.patch_namespaced_deployment("d", NAMESPACE, sidecar)
    expect({c.name for c in merged.spec.template.spec.containers} == {"c", "s"}, "lists are merged by name")
    tested = apps.patch_namespaced_deployment(
        "d", NAMESPACE, [{"op": "replace", "path": "/spec/replicas", "value": 3}])
    expect(tested.spec.replicas == 3, tested.spec.replicas)
    scale = apps.read_namespaced_deployment_scale("d", NAMESPACE)
    expect(scale.spec.replicas == 3, scale)
    apply(core)
    apps.delete_namespaced_deployment("d", NAMESPACE)


def apply(core):
    """Server-side apply with the conflict of a second manager, and a merge patch."""

    def send(manager, value, force=False):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": value}}
        return core.patch_namespaced_config_map(
            "applied", NAMESPACE, body, field_manager=manager, force=force,
            _content_type="application/apply-patch+yaml")

    expect(send("one", "1").data == {"k": "1"}, "applied")
    refused(409, send, "two", "2")
    expect(send("two", "2", force=True).data == {"k": "2"}, "forced")
    merged = core.patch_namespaced_config_map(
        "applied", NAMESPACE, {"data": {"k": None, "m": "3"}}, _content_type="application/merge-patch+json")
    expect(merged.data == {"m": "3"}, merged.data)


def informer(core):
    """List, then watch from the list's version, as informers do: nothing is missed and nothing comes twice."""
    core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "s0"}})
    listed = core.list_namespaced_secret(NAMESPACE)
    events = queue.Queue()
    stream = watch.Watch()

    def follow():
        for event in stream.stream(core.list_namespaced_secret, NAMESPACE, timeout_seconds=60,
                                   resource_version=listed.metadata.resource_version):
            events.put((event["type"], event["object"].metadata.name))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "s1"}})
    core.patch_namespaced_secret("s0", NAMESPACE, {"metadata": {"labels": {"l": "1"}}})
    core.delete_namespaced_secret("s1", NAMESPACE)
    seen = [events.get(timeout=30) for _ in range(3)]
    expect(seen == [("ADDED", "s1"), ("MODIFIED", "s0"), ("DELETED", "s1")], seen)
    stream.stop()


def main():
    config.load_kube_config(sys.argv[1])
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    expect(client.VersionApi().get_code().minor == "36", "the version")
    objects(core)
    patches(apps, core)
    informer(core)
    print("passed")


if __name__ == "__main__":
    main()
