# What ./test and ./byoci-install share: Python, system packages, and steps that are told. Sourced by bash.
# The caller sets PROGRAM (its name) and LOG (a file for what steps write). People are told on standard error only.

# Newer Pythons are tried when there is no other: packages with compiled parts may have no wheels for them yet.
readonly PYTHONS="python3 python3.13 python3.12 python3.11 python3.14 python3.15"
readonly PYTHON_RANGE="(3, 11) <= sys.version_info < (3, 14)"

say() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

# die STATUS BRIEF DETAILS RESOLUTION: the three parts that every error of byoci has, then the end.
die() {
    local status=$1 part
    say "$2"
    shift 2
    for part; do [ -z "$part" ] || printf '%s\n' "$part" | sed 's/^/  /' >&2; done
    exit "$status"
}

is_root() { [ "$(id -u)" = 0 ]; }

# step WORDS COMMAND…: run it with its output in $LOG, and say how long it took, or show its last words and return 1.
# Every ten seconds it says what the log said last, if that is something new.
step() {
    local words=$1 started=$SECONDS status=0 from watcher
    shift
    say "$words …"
    from=$(($(wc -l <"$LOG" 2>/dev/null || echo 0) + 1))
    _tell_news "$from" 9>&- &
    watcher=$!
    "$@" </dev/null >>"$LOG" 2>&1 || status=$?
    kill "$watcher"
    if [ "$status" = 0 ]; then
        say "$words: done in $((SECONDS - started)) s"
    else
        say "$words: failed; the last lines of $LOG:"
        tail -n "+$from" "$LOG" | tail -n 15 | sed 's/^/    /' >&2
        return 1
    fi
}

# _tell_news LINE: the last words of the log from LINE on, as long as this program lives.
_tell_news() {
    local news="" last
    while sleep 10 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        last=$(tail -n "+$1" "$LOG" | grep '[^[:space:]]' | tail -n 1 | cut -c 1-100) || true
        [ "$last" = "$news" ] || say "    ${last#"${last%%[![:space:]]*}"}"
        news=$last
    done
}

# find_python: prints the Python to use: one that can make virtual environments, if any can. 1: there is none.
find_python() {
    local check candidate
    for check in "import sys, venv, ensurepip; sys.exit(not $PYTHON_RANGE)" \
        "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))" \
        "import sys; sys.exit(sys.version_info < (3, 11))"; do
        for candidate in ${BYOCI_PYTHON:-$PYTHONS}; do
            if "$candidate" -I -c "$check" </dev/null >/dev/null 2>&1; then
                "$candidate" -I -c 'import sys; print(sys.executable)'
                return
            fi
        done
    done
    return 1
}

# venv_package PYTHON: prints the package that lets it make virtual environments, if that is missing.
venv_package() {
    "$1" -I -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        "$1" -I -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
}

# knows_packages: whether apt has lists of what the system offers; images of containers often come without.
knows_packages() { [ -n "$(apt-cache search --names-only '^python3$' 2>/dev/null)" ]; }

# python_packages: prints the newest Python that the system offers, with what it needs to make virtual environments; the
# system's own, where nobody who may ask has asked yet what it offers. 1: it offers none, or the person named one.
python_packages() {
    local version
    [ -z "${BYOCI_PYTHON:-}" ] || return 1
    command -v apt-get >/dev/null || return 1
    ! can_install || knows_packages || apt-get update >>"$LOG" 2>&1 || true
    if ! knows_packages; then
        printf '%s\n' python3 python3-venv
        return
    fi
    for version in 3.13 3.12 3.11; do
        if apt-cache show "python$version-venv" >/dev/null 2>&1; then
            printf '%s\n' "python$version" "python$version-venv"
            return
        fi
    done
    return 1
}

no_python() {
    [ -z "${BYOCI_PYTHON:-}" ] || die 2 "BYOCI_PYTHON names no Python 3.11 or newer that works: $BYOCI_PYTHON" \
        "$(command -v "$BYOCI_PYTHON" >/dev/null || echo "There is no such program.")" "Correct it, or unset it."
    die 2 "Python 3.11 or newer is not installed" \
        "Found: $(command -v python3 >/dev/null && python3 --version 2>&1 || echo none). The system's packages offer no \
newer one." \
        "Install one, from https://www.python.org for example, and name it: BYOCI_PYTHON=/path/to/python3.12 $0"
}

# missing_packages PROGRAM:PACKAGE…: prints the packages of the programs that are not there.
missing_packages() {
    local pair
    for pair; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
    done
}

has_seccomp() { "$1" -I -c 'import ctypes; ctypes.CDLL("libseccomp.so.2")' 2>/dev/null; }

# as_root COMMAND…: prints what this person types to run command lines (without single quotes) as root, one after another.
as_root() {
    local sudo="" line
    is_root || ! command -v sudo >/dev/null || sudo="sudo "
    line=$sudo$1
    shift
    while [ $# != 0 ]; do
        line+=" && $sudo$1"
        shift
    done
    is_root || [ -n "$sudo" ] || line="su -c '$line'"
    echo "$line"
}

# install_command PACKAGE…: prints what a person types to install them.
install_command() {
    if ! command -v apt-get >/dev/null; then
        echo "(your system's package manager) install $*"
    elif knows_packages; then
        as_root "apt-get install $*"
    else
        as_root "apt-get update" "apt-get install $*"
    fi
}

can_install() { is_root && command -v apt-get >/dev/null; }

# install_packages PACKAGE…: as root, by apt-get.
install_packages() { step "installing $*" _apt_install "$@"; }

_apt_install() {
    local options=(-y --no-install-recommends -o DPkg::Lock::Timeout=300)
    export DEBIAN_FRONTEND=noninteractive
    apt-get install "${options[@]}" "$@" || { apt-get update && apt-get install "${options[@]}" "$@"; }
}

# pip PYTHON SUBCOMMAND…: without questions and news.
pip() {
    local python=$1 subcommand=$2
    shift 2
    "$python" -I -m pip "$subcommand" --no-input --disable-pip-version-check --progress-bar off "$@"
}

# pip_locked PYTHON SUBCOMMAND…: what the lock names, by hash; only wheels, so that no package's own code runs meanwhile.
pip_locked() { pip "$@" --require-hashes --only-binary :all:; }
