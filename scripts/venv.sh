# Sourced by scripts/run and scripts/test: makes .venv beside this folder, once, from the pinned set.

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    say "needs Python 3.11, 3.12 or 3.13 with the venv module; set PYTHON=/path/to/python3"
    return 1
}

# prepare EXTRAS: a virtual environment in $root/.venv with the project installed in place ("" or "[test]").
prepare() {
    local extras=$1 marker="$root/.venv/.installed$1" state python
    state=$(cat "$root/constraints.txt" "$root/pyproject.toml" | cksum)
    if [ -f "$marker" ] && [ "$(cat "$marker")" = "$state" ]; then
        return
    fi
    if ! [ -x "$root/.venv/bin/python" ]; then
        python=$(find_python) || exit 1
        say "making .venv with $("$python" --version)"
        "$python" -m venv "$root/.venv"
    fi
    say "installing the pinned packages into .venv (once; a few minutes)"
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$root/constraints.txt" --editable "$root$extras"
    printf '%s' "$state" >"$marker"
}
