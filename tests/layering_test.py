"""Who may include whom: each folder of the tree, and what its files may include. Fails on the first arrow that points back."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
TORCH = r"torch/|ATen/|c10/"
PROTO = r"graft/v1/|tensorboard/|google/protobuf/|grpcpp/|grpc/"

# folder: (folders of ours that it may include, outside headers that it may not)
RULES = {
    "core/base": (["core/base"], f"{TORCH}|{PROTO}|opencv2/|cairo"),
    "core/data": (["core/base", "core/data"], f"{TORCH}|{PROTO}|cairo"),
    "core/eval": (["core/base", "core/eval"], f"{TORCH}|{PROTO}|opencv2/|cairo"),
    "core/viz": (["core/base", "core/eval", "core/viz"], f"{TORCH}|{PROTO}|opencv2/"),
    "core/kernels": (["core/kernels"], f"{TORCH}|{PROTO}|opencv2/|cairo|absl/"),
    "core/model": (["core/base", "core/data", "core/model"], f"{TORCH}|{PROTO}|opencv2/|cairo"),
    "core/store": (["core/base", "core/data", "core/eval", "core/model", "core/store"], f"{TORCH}|{PROTO}|opencv2/|cairo"),
    "core/nn": (["core/base", "core/data", "core/kernels", "core/model", "core/nn"], f"{PROTO}|opencv2/|cairo"),
    "core/trunks": (["core/base", "core/data", "core/model", "core/nn", "core/trunks"], f"{PROTO}|opencv2/|cairo"),
    "core/train": (["core/base", "core/data", "core/model", "core/nn", "core/trunks", "core/train"], f"{PROTO}|opencv2/|cairo"),
    "core/heads": (
        ["core/base", "core/data", "core/eval", "core/model", "core/nn", "core/trunks", "core/train", "core/heads"],
        f"{PROTO}|opencv2/|cairo",
    ),
    "core/infer": (
        ["core/base", "core/data", "core/eval", "core/model", "core/nn", "core/trunks", "core/train", "core/heads", "core/infer"],
        f"{PROTO}|opencv2/|cairo",
    ),
    "convert": (["core/base", "core/data", "core/eval", "core/model", "core/store", "convert"], f"{TORCH}|grpcpp/|opencv2/|cairo"),
    "jobs": (["core", "convert", "jobs"], f"{TORCH}|grpcpp/|opencv2/|cairo"),
    "server": (
        ["core/base", "core/data", "core/eval", "core/infer", "core/kernels", "core/model", "core/nn", "core/store", "core/viz"]
        + ["convert", "jobs", "server"],
        f"{TORCH}|opencv2/|cairo",
    ),
    "worker": (["core", "convert", "jobs", "worker"], f"{TORCH}|opencv2/|cairo"),
    "client": (["core/base", "client"], f"{TORCH}|opencv2/|cairo"),
}
OURS = re.compile(r"^(core|convert|jobs|server|worker|client)/")
# LibTorch stays out of every header but those that say so in their name.
TORCH_HEADER = re.compile(r"_torch\.h$")

problems = []
checked = 0
for folder, (allowed, forbidden) in RULES.items():
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        checked += 1
        name = path.relative_to(ROOT).as_posix()
        for include in re.findall(r'^\s*#include\s+[<"]([^>"]+)[>"]', path.read_text(), re.M):
            if OURS.match(include) and not any(include.startswith(f"{a}/") for a in allowed):
                problems.append(f"{name} includes {include}")
            if re.match(forbidden, include):
                problems.append(f"{name} includes {include}")
            if re.match(TORCH, include) and path.suffix == ".h" and not TORCH_HEADER.search(name):
                problems.append(f"{name} is a header and includes {include}")
            if re.search(r"internal/|_torch\.h$", include) and OURS.match(include) and not name.startswith("core/"):
                problems.append(f"{name} includes {include}, which is core's own")

for problem in problems:
    print(problem)
print(f"{checked} files checked, {len(problems)} problems")
sys.exit(1 if problems or checked == 0 else 0)
