#!/bin/sh
# environment.sh FOLDER STAMP [ARGUMENTS OF PIP INSTALL]: make a virtual environment, or fill it.
#
# An interrupted environment repairs itself: it is new where FOLDER/.created is missing, and STAMP is
# written last. With uv on the PATH, uv brings the right Python; else $PYTHON must be there. Pip is in
# either (--seed): an environment that uv made is filled on, should uv be gone.
set -eu
folder=$1 stamp=$2
shift 2
PYTHON=${PYTHON:-python3.11}

if [ ! -e "$folder/.created" ]; then
    rm -rf "$folder"
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --seed --python 3.11 "$folder"
    elif ! command -v "$PYTHON" >/dev/null 2>&1; then
        echo "$PYTHON is not here: install Python 3.11 (or uv, which brings it), or say PYTHON=..." >&2
        exit 1
    elif ! "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$PYTHON cannot make environments: install its venv module (python3.11-venv), or uv" >&2
        exit 1
    else
        "$PYTHON" -m venv "$folder"
    fi
    touch "$folder/.created"
fi
if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$folder/bin/python" "$@"
else
    "$folder/bin/python" -m pip install --quiet "$@"
fi
touch "$folder/$stamp"
