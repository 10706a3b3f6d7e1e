#!/usr/bin/env python3
"""Writes the seeds: a few inputs of each shape, so that fuzzing starts from what the parsers accept."""
import io
import json
import pathlib
import tarfile

HERE = pathlib.Path(__file__).parent
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b"}},
       "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]}]}}
PATCHES = [{"spec": {"containers": [{"name": "c", "image": "j"}, {"name": "d", "$patch": "delete"}]}},
           {"metadata": {"labels": {"a": None}, "$retainKeys": ["labels"]}},
           {"spec": {"$setElementOrder/containers": [{"name": "c"}], "$deleteFromPrimitiveList/finalizers": ["x"]}},
           [{"op": "replace", "path": "/spec/containers/0/image", "value": "j"}, {"op": "test", "path": "/a~1b", "value": 1},
            {"op": "move", "from": "/metadata", "path": "/m"}, {"op": "add", "path": "/spec/containers/-", "value": {}}]]
REQUESTS = [
    (0, "/api/v1/namespaces/default/pods?limit=2&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0", "application/json", "", ""),
    (0, "/api/v1/pods?watch=1&resourceVersion=0&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "", ""),
    (1, "/api/v1/namespaces", "application/json", "application/json", json.dumps({"metadata": {"name": "default"}})),
    (1, "/api/v1/namespaces/default/pods?fieldValidation=Strict&dryRun=All", "*/*", "application/yaml", "metadata: {name: a}\nspec:\n  containers: [{name: c, image: i}]\n"),
    (1, "/api/v1/namespaces/default/pods", "application/vnd.kubernetes.protobuf, application/json;q=0.5", "application/json", json.dumps(POD)),
    (3, "/api/v1/namespaces/default/pods/a?fieldManager=f&force=true", "", "application/apply-patch+yaml", json.dumps(POD)),
    (3, "/api/v1/namespaces/default/pods/a", "", "application/strategic-merge-patch+json", json.dumps(PATCHES[0])),
    (4, "/api/v1/namespaces/default/pods?labelSelector=a%20in%20(b,c),!d&fieldSelector=metadata.name!%3Da", "", "application/json", '{"gracePeriodSeconds":0,"propagationPolicy":"Foreground"}'),
]

EXPRESSIONS = [
    "self.all(x, x.startsWith('a') && size(x) <= 63) || has(self.a) ? 1 + 2 * -3 : [1, 2u, 1.5e3][0]",
    "list.map(x, x > 0, {'a': x}).exists_one(m, m.a in [1, 2]) && map.transformMap(k, v, v + 1) == {'a': 1}",
    "self.?a[?0].orValue(b'\\xff') == optional.none() && [?optional.of(1)].first().optMap(x, x).hasValue()",
    "timestamp(self).getHours('Europe/Berlin') == 1 && duration('1h').getMinutes() == 60 && text.matches(r'^\\d+$')",
    "'%s %d %.2f %x'.format([text, 1, 2.5, 'a']).split(' ').join('-').replace('a', 'b', 1).substring(1, 2)",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && quantity('1Gi').add(1).isGreaterThan(quantity('1G')) && url('https://a:1/b?c=d').getPort() == '1'",
    "cel.bind(x, list.sort().reverse().distinct(), x.slice(0, 1).flatten()) + lists.range(3).sortBy(e, -e)",
    "semver('v1.2', true).isLessThan(semver('1.3.0')) && sets.intersects(list, [1]) && format.named('uuid').value().validate(text).hasValue()",
]


QUESTIONS = [("web.shop.svc.cluster.local", 1), ("pets.shop.svc.cluster.local", 1), ("_http._tcp.pets.shop.svc.cluster.local", 33),
             ("1.0.96.10.in-addr.arpa", 12), ("away.shop.svc.cluster.local", 5), ("cluster.local", 6), ("1-2-3-4.shop.pod.cluster.local", 255)]

MODULE = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0\x07\x0a\x01\x06_start\0\0"
COMPONENT = b"\0asm\x0d\0\x01\0"
# A type of instances with one function, and an import of such an instance.
IMPORTING = COMPONENT + b"\x07\x0e\x01\x42\x02\x01\x40\0\x01\0\x04\0\x01f\x01\0" + b"\x0a\x1a\x01\0\x15wasi:sockets/tcp@0.2.0\x05\0"
DIGEST = "sha256:" + "0" * 64
LAYERS = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm", "application/vnd.oci.image.layer.v1.tar+gzip"]
MANIFESTS = [{"config": {"mediaType": kind, "digest": DIGEST, "size": 2}, "layers": [{"mediaType": layer, "digest": DIGEST, "size": 3}],
              "annotations": {"module.wasm.image/variant": "compat"}}
             for kind in ["application/vnd.wasm.config.v0+json", "application/vnd.oci.image.config.v1+json"] for layer in LAYERS]
MANIFESTS += [{"manifests": [{"digest": DIGEST, "platform": {"os": system, "architecture": machine}}
                             for system, machine in [("linux", "amd64"), ("wasip1", "wasm"), ("wasi", "wasm32")]]}]
CONFIGS = [{"os": "wasi", "architecture": "wasm", "config": {"Entrypoint": ["/a/./b.wasm"], "Env": ["A=1"]}},
           {"os": "linux", "architecture": "amd64", "config": {"Cmd": ["a.wasm"], "WorkingDir": "/srv", "Labels": {"module.wasm.image/variant": "compat-smart"}}}]
SETTINGS = ["capabilities=http-client, sockets\negress=10.0.0.0/8, 192.0.2.7, db.example.com, *.example.org\nlevel=baseline",
            "level=restricted\ninstance-reuse=1000\nrequest-timeout=1m 30s", "egress=::/0, 0.0.0.0/0, fe80::/10\nlevel=privileged",
            "egress=\ncapabilities="]


def question(name, kind, edns):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    options = b"\0\0\x29\x04\xd0\0\0\0\0\0\0" if edns else b""
    return bytes([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, int(edns)]) + labels + bytes([0, kind >> 8, kind & 255, 0, 1]) + options


def hello(name):
    """What a client of TLS 1.3 says first, who asks for this name."""
    def sized(width, content):
        return len(content).to_bytes(width, "big") + content
    extensions = {0: sized(2, b"\0" + sized(2, name.encode())), 10: sized(2, b"\0\x1d"), 13: sized(2, b"\x04\x03\x08\x04"),
                  16: sized(2, sized(1, b"h2")), 43: sized(1, b"\x03\x04"), 51: sized(2, b"\0\x1d" + sized(2, bytes(range(32))))}
    listed = b"".join(kind.to_bytes(2, "big") + sized(2, content) for kind, content in extensions.items())
    body = b"\x03\x03" + bytes(32) + sized(1, b"") + sized(2, b"\x13\x01\xc0\x2b") + sized(1, b"\0") + sized(2, listed)
    return b"\x16\x03\x01" + sized(2, b"\x01" + sized(3, body))


def layer(form, *entries):
    """A tar stream of entries: a name, a type, and what it links to or holds."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name, kind, text in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, 0o755, 1
            if kind == tarfile.REGTYPE:
                info.size = len(text)
            else:
                info.linkname = text
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"SCHILY.xattr.user.a": "b", "mtime": "1.5"}
            tar.addfile(info, io.BytesIO(text.encode()))
    content = stream.getvalue().rstrip(b"\0")
    return content + bytes(-len(content) % 512 + 1024)


def write(target, inputs):
    folder = HERE / target
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(inputs):
        (folder / f"{number:02}").write_bytes(content)


pod = json.dumps(POD).encode()
write("decode", [bytes([kind]) + pod for kind in range(4)] + [b"\x0aspec: {replicas: 1}\n", b"\x00a: &x [1]\nb: *x\n"])
write("patch", [b"\x0a" + pod + b"\0" + json.dumps(p).encode() for p in PATCHES])
APPLIES = [{"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
           {"metadata": {"labels": {"b": "2"}, "finalizers": ["x/y"]}, "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}},
           {"spec": {"containers": [{"name": "d", "env": [{"name": "A", "value": "1"}]}]}}]
OWNERS = [{"manager": "a", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
           "fieldsV1": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}, "f:finalizers": {"v:\"x\"": {}}}}}]
applies = [json.dumps(config).encode() for config in APPLIES]
write("apply", [b"\x08\x01" + b"\0\x07".join(applies), b"\x08\x04" + b"\0\x09".join(applies), b"\x08\x01" + json.dumps(OWNERS).encode()])
FILE, DIR, LINK, HARD, NULL = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
write("layer", [
    layer(tarfile.USTAR_FORMAT, ("etc/", DIR, ""), ("etc/name", FILE, "web"), ("etc/other", HARD, "etc/name"), ("etc/.wh.gone", FILE, "")),
    layer(tarfile.GNU_FORMAT, ("a" * 120, FILE, "x"), ("out", LINK, "../.."), ("out/file", FILE, "y"), ("null", NULL, "")),
    layer(tarfile.PAX_FORMAT, ("d/", DIR, ""), ("d/.wh..wh..opq", FILE, ""), ("d/f", FILE, "z"), ("l", LINK, "/etc/passwd")),
    layer(tarfile.USTAR_FORMAT, ("../up", FILE, "x"), ("/abs", FILE, "y"), ("self", HARD, "self")),
])
write("selector", [b"a in (b,c),!d,e!=f,g==h", b"metadata.name=a,spec.nodeName!=b", b"1.5Gi", b"-100m", b"12e3", b"0.000001"])
write("dns", [question(name, kind, number % 2) for number, (name, kind) in enumerate(QUESTIONS)])
write("expression", [e.encode() for e in EXPRESSIONS])
write("request", [b"\0".join([bytes([m]), p.encode(), a.encode(), c.encode(), b.encode()]) for m, p, a, c, b in REQUESTS])
write("component", [MODULE, COMPONENT + b"\x01" + bytes([len(MODULE)]) + MODULE, IMPORTING])
write("image", [json.dumps(m).encode() + b"\0" + json.dumps(c).encode() for m in MANIFESTS for c in CONFIGS])
HOSTS = b"=a.example\n*example\n+b.example\n=a.example\n?\0"
write("sni", [HOSTS + asked for asked in [b"a.example", b"c.B.example.", b"192.0.2.1", hello("a.example"), hello("x" * 64)]])
write("settings", [text.encode() for text in SETTINGS])
words = ["apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "spec", "status", "containers", "$patch", "$retainKeys",
         "$setElementOrder/", "$deleteFromPrimitiveList/", "delete", "replace", "merge", "null", "true", "resourceVersion", "continue", "limit",
         "watch", "application/json", "application/yaml", "as=Table", "g=meta.k8s.io", "v=v1", "/api/v1/", "/apis/", "namespaces/", " in (", " notin (", "!=", "=="]
(HERE / "kubernetes.dict").write_text("".join(f'"{w}"\n' for w in words))
