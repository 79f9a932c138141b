"""The entries that come with the lab: names that pods of the walkthroughs use, and what this machine has for them."""

from pathlib import Path

from podpass.lab.node.images.entries import Image

_AZURE_CLI = "install the Azure CLI on this machine (pip install azure-cli) and start the lab with it on the PATH"
_STAND_INS = Path(__file__).with_name("stand_ins")

BUILTIN: tuple[Image, ...] = (
    Image("podpass/demo", command=("python3",), interpreter=True),
    Image("*/podpass/demo", command=("python3",), interpreter=True),
    Image("podpass", entrypoint=("podpass",), interpreter=True),
    Image("python", command=("python3",), interpreter=True),
    Image("node", command=("node",), needs="node", remedy="install Node.js on this machine"),
    Image("busybox", command=("sh",)),
    Image("debian", command=("bash",)),
    Image("ubuntu", command=("bash",)),
    Image("alpine", command=("/bin/sh",)),
    Image("curlimages/curl", entrypoint=("curl",), needs="curl", remedy="install curl on this machine"),
    Image("redis", command=("redis-server",), needs="redis-server", remedy="install redis-server on this machine"),
    Image("nginx", command=("nginx", "-g", "daemon off;"), needs="nginx", remedy="install nginx on this machine"),
    Image("smallstep/step-cli", command=("/bin/bash",), needs="step", stand_in=_STAND_INS / "step"),
    # The flags of pod identity's demo program changed with v1.8.
    *(
        Image(
            f"mcr.microsoft.com/oss/azure/aad-pod-identity/demo:{tags}",
            entrypoint=("pod-identity-demo", generation),
            needs="pod-identity-demo",
            stand_in=_STAND_INS / "pod-identity-demo",
        )
        for tags, generation in (("v1.[5-7]*", "v1.6"), ("*", "v1.8"))
    ),
    Image("*/kubectl", entrypoint=("kubectl",), needs="kubectl", remedy="install kubectl on this machine"),
    Image("mcr.microsoft.com/azure-cli", command=("bash",), needs="az", remedy=_AZURE_CLI),
)
