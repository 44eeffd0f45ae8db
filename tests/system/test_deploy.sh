#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# examples/deploy: what can be said of these files without a registry, a cluster or a container runtime.
. "$(dirname "$0")/common.sh"
deploy=$MUSTER_SOURCE/examples/deploy

say "Dockerfile and Apptainer definition: stages, no root, the build's packages as test.sh installs them"
python3 - "$MUSTER_SOURCE" <<'PY' || fail "Dockerfile or muster.def"
import re, sys
root = sys.argv[1]
text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", open(f"{root}/examples/deploy/Dockerfile").read()))
steps = [line.split(None, 1) for line in text.splitlines() if line.strip()]
known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
assert all(word in known for word, _ in steps), [word for word, _ in steps if word not in known]
stages = [i for i, (word, _) in enumerate(steps) if word == "FROM"]
assert len(stages) == 2 and steps[0][1].endswith(" AS build")
last = steps[stages[1]:]
assert [rest for word, rest in last if word == "COPY"] == ["--from=build /package/muster.deb /tmp/muster.deb"]
user = next(rest for word, rest in last if word == "USER")
assert re.fullmatch(r"\d+:\d+", user) and not user.startswith("0"), user
assert [word for word, _ in last].index("USER") < [word for word, _ in last].index("ENTRYPOINT")
assert not any("gcc" in rest for _, rest in last), "a compiler in the last stage"
needed = set(re.search(r"BUILD_PACKAGES=\((.*?)\)", open(f"{root}/tools/install.sh").read(), re.S).group(1).split())
for name, words in (("Dockerfile", steps[1][1]), ("muster.def", re.sub(r"\\\n", " ", open(f"{root}/examples/deploy/muster.def").read()))):
    there = set(re.search(r"--no-install-recommends ([^&\n]*)", words).group(1).split())
    assert needed <= there, f"{name} does not install {needed - there}"
definition = open(f"{root}/examples/deploy/muster.def").read()
assert definition.count("Bootstrap: docker") == 2 and {"%files", "%files from build", "%post", "%runscript", "%test", "%help"} <= set(re.findall(r"(?m)^%.*$", definition))
PY

say "the options that they give exist"
for file in Dockerfile muster.service kubernetes.yaml; do
  for option in $(sed 's/#.*//' "$deploy/$file" | grep -E 'muster serve|"/bundle"' | grep -oE -- '--[a-z-]+' | sort -u); do
    muster serve --help | grep -qE -- "(^| )$option( |,|$)" || fail "$file: muster serve has no option $option"
  done
done

say "the systemd unit"
if command -v systemd-analyze >/dev/null; then
  sed "s|/usr/bin/muster|$(command -v muster)|; /^Documentation=/d" "$deploy/muster.service" >muster.service
  systemd-analyze verify ./muster.service >out 2>&1 || fail "systemd-analyze verify"
  [ ! -s out ] || fail "systemd-analyze verify has something to say"
  systemd-analyze security --offline=true --threshold=20 ./muster.service >out 2>&1 || { tail -3 out; fail "the unit is exposed to more than 2.0 of 10"; }
  tail -1 out
else
  skipped "systemd is not installed: the unit is not verified"
fi

say "the Kubernetes manifest, against Kubernetes' own schemas"
validate=$MUSTER_SOURCE/runs/api/bin/kubernetes-validate
[ -x "$validate" ] || skip "kubernetes-validate is not installed (test.sh does it)"
"$validate" --strict "$deploy/kubernetes.yaml" >out 2>&1 || fail "kubernetes.yaml"
"$MUSTER_SOURCE/runs/api/bin/python" - "$deploy/kubernetes.yaml" <<'PY' || fail "kubernetes.yaml"
import sys, yaml
deployment, service = yaml.safe_load_all(open(sys.argv[1]))
pod = deployment["spec"]["template"]
assert deployment["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items() and service["spec"]["selector"] == pod["metadata"]["labels"]
container = pod["spec"]["containers"][0]
assert {container[p]["httpGet"]["path"] for p in ("startupProbe", "readinessProbe")} == {"/ready"} and container["livenessProbe"]["httpGet"]["path"] == "/health"
assert container["securityContext"]["readOnlyRootFilesystem"] and pod["spec"]["securityContext"]["runAsNonRoot"]
assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["spec"]["volumes"]}
PY
sed 's/readinessProbe/readynessProbe/' "$deploy/kubernetes.yaml" >wrong.yaml
if "$validate" --strict wrong.yaml >out 2>&1; then fail "a misspelt key was not noticed"; fi
