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
# ten seconds (a file or a pipe; PROGRESS_SECONDS), also while pip prints nothing.
progress() {
    local every=${PROGRESS_SECONDS:-10}
    local line text='asking the package index' count=0 last=-$every width=${COLUMNS:-80} status
    case $width in '' | 0 | *[!0-9]*) width=80 ;; esac
    while :; do
        line='' status=0
        IFS= read -r -t "$every" line || status=$?
        # More than 128: so long without a line. Less: the end.
        if [ "$status" -gt 0 ] && [ "$status" -le 128 ]; then break; fi
        case $line in
            '') ;;
            Collecting\ *)
                count=$((count + 1))
                text="package $count: ${line#Collecting }"
                text=${text%% (from*}
                ;;
            *Downloading\ *) text="package $count: downloading ${line##*Downloading }" ;;
            Installing\ collected*)
                text="unpacking $(awk -F, '{ print NF }' <<<"$line") packages"
                last=-$every
                ;;
            *) continue ;;
        esac
        if [ -t 2 ]; then
            printf '\r\033[K%.*s' "$((width - 1))" "$(basename "$0"): installing, $text, $SECONDS s" >&2
        elif [ $((SECONDS - last)) -ge "$every" ]; then
            say "installing, $text, $SECONDS s"
            last=$SECONDS
        fi
    done
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

# prepare EXTRAS: a virtual environment in $root/.venv with the project installed in place ("" or "[test]").
prepare() {
    local extras=$1 marker="$root/.venv/.installed$1" log="$root/.venv/install.log" begun="$root/.venv/.begun" state python
    state=$(cat "$root/constraints.txt" "$root/pyproject.toml" | cksum)
    if [ -f "$marker" ] && [ "$(cat "$marker")" = "$state" ]; then
        return
    fi
    # An empty one is what a kill leaves between the next two lines that make it.
    rmdir "$root/.venv" 2>/dev/null || true
    if [ -e "$root/.venv" ] && ! [ -e "$begun" ] && ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
        say "$root/.venv is there and has no pip, so it is none that this script made; move it away, then try again"
        exit 1
    fi
    # With the mark it is what a kill has left of an earlier try.
    if ! [ -e "$root/.venv" ] || [ -e "$begun" ]; then
        python=$(find_python) || exit 1
        say "making .venv with $("$python" --version)"
        mkdir -p "$root/.venv"
        touch "$begun"
        "$python" -m venv "$root/.venv"
        rm "$begun"
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
