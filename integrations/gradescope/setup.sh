#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image. The course's repository lies in /autograder/source/course
# (put a checkout of it, without .venv, into the zip beside this file).
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends bubblewrap libseccomp2 curl ca-certificates git
curl -LsSf https://astral.sh/uv/install.sh | env UV_INSTALL_DIR=/usr/local/bin sh
cd /autograder/source/course
uv sync --no-default-groups --group grade --compile-bytecode --python 3.11
