# shellcheck shell=bash disable=SC2154
# Sourced by scripts/run and scripts/test: makes .venv beside this folder, once, from the pinned set.

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# usage: the comment at the head of the script, for --help.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

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

# progress: reads what pip prints and shows how far it is, on one line that changes (a terminal) or on a new one every
# ten seconds (a file or a pipe).
progress() {
    local line text='' count=0 last=-10
    while IFS= read -r line; do
        case $line in
            Collecting\ *)
                count=$((count + 1))
                text="package $count: ${line#Collecting }"
                text=${text%% (from*}
                ;;
            *Downloading\ *) text="package $count: downloading ${line##*Downloading }" ;;
            Installing\ collected*)
                text="unpacking $(awk -F, '{ print NF }' <<<"$line") packages"
                last=-10
                ;;
            *) continue ;;
        esac
        if [ -t 2 ]; then
            printf '\r\033[K%.*s' "$((${COLUMNS:-80} - 1))" "$(basename "$0"): installing, $text" >&2
        elif [ $((SECONDS - last)) -ge 10 ]; then
            say "installing, $text"
            last=$SECONDS
        fi
    done
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

# prepare EXTRAS: a virtual environment in $root/.venv with the project installed in place ("" or "[test]").
prepare() {
    local extras=$1 marker="$root/.venv/.installed$1" log="$root/.venv/install.log" state python
    state=$(cat "$root/constraints.txt" "$root/pyproject.toml" | cksum)
    if [ -f "$marker" ] && [ "$(cat "$marker")" = "$state" ]; then
        return
    fi
    # Without pip it is what a kill has left of an earlier try.
    if ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || exit 1
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear "$root/.venv"
    fi
    say "installing the pinned packages${extras:+ and what the tests need} into .venv (once; a few minutes)"
    if ! PYTHONUNBUFFERED=1 "$root/.venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-color \
        --constraint "$root/constraints.txt" --editable "$root$extras" 2>&1 | tee "$log" | progress; then
        say "pip could not install them; the end of .venv/install.log:"
        tail -n 20 "$log" >&2
        exit 1
    fi
    say "installed in $SECONDS seconds"
    printf '%s' "$state" >"$marker"
}
