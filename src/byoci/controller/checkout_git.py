"""The script by which a build checks out what its job wants of git.

All that a job's configuration says reaches the script in variables, which the agent fills in before; nothing of it is
ever a part of the script. Several candidates for a build come about by several branches, or by patterns: then it is
the oldest revision that was not built; there being none, the newest again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from byoci.controller.repository import Git

_CHOOSE: Final = r"""
plain() {  # the commit that a branch means which is no pattern, and what Jenkins calls it
    name=${1#refs/heads/}; name=${name#refs/remotes/}; name=${name#remotes/}; name=${name#\*/}
    for remote in $BYOCI_REMOTES; do
        short=${name#"$remote"/}
        if commit=$(git rev-parse --quiet --verify "refs/remotes/$remote/$short^{commit}"); then
            branch=$remote/$short; return 0
        fi
    done
    for ref in "$1" "$name" "refs/tags/$name" "refs/$name"; do
        if commit=$(git rev-parse --quiet --verify "$ref^{commit}"); then branch=$name; return 0; fi
    done
    echo "There is no $1"; return 1
}
candidates() {  # lines of a commit and what Jenkins calls it, the oldest first
    set -f
    patterns=
    for wanted in $BYOCI_BRANCHES; do
        name=${wanted#refs/heads/}; name=${name#refs/remotes/}; name=${name#remotes/}
        patterns="$patterns refs/remotes/$name refs/remotes/*/$name"
    done
    # shellcheck disable=SC2086
    git for-each-ref --sort=committerdate --format='%(objectname) %(refname:lstrip=2)' $patterns | grep -v '/HEAD$'
    set +f
}
choose() {
    found=$(candidates) || { echo "No branch matches $BYOCI_BRANCHES"; exit 1; }
    left=0; commit=
    while read -r one called; do
        case " $BYOCI_BUILT " in *" $one "*) again=$one; again_called=$called; continue;; esac
        [ "$one" = "$commit" ] || left=$((left + 1))
        [ -n "$commit" ] || { commit=$one; branch=$called; }
    done <<END
$found
END
    [ "$left" -le 1 ] || more=yes
    [ -n "$commit" ] || { commit=$again; branch=$again_called; }
}
"""
_NOTE: Final = r"""
printf 'GIT_COMMIT=%s\nGIT_BRANCH=%s\nGIT_URL=%s\n' "$commit" "$branch" "$BYOCI_URL_0" > .git/byoci.properties
[ -z "$more" ] || echo BYOCI_MORE=yes >> .git/byoci.properties
[ -z "$BYOCI_PREVIOUS" ] || echo "GIT_PREVIOUS_COMMIT=$BYOCI_PREVIOUS" >> .git/byoci.properties
[ -z "$local" ] || echo "GIT_LOCAL_BRANCH=$local" >> .git/byoci.properties
: > .git/byoci.changes
if [ -n "$BYOCI_PREVIOUS" ] && git cat-file -e "$BYOCI_PREVIOUS^{commit}" 2> /dev/null; then
    git log -z --max-count=1000 --name-status --no-renames --date=unix \
        --format="%x01%H%x02$BYOCI_WHO%x02%cd%x02%B%x02" "$BYOCI_PREVIOUS..$commit" > .git/byoci.changes
fi
echo "Checked out $commit"
"""


def git_script(git: Git) -> tuple[str, dict[str, str], str, str]:
    """The script, its variables to be filled in, and the paths of the files where it notes what it did."""
    folder = git.folder or "."
    texts = {
        "BYOCI_FOLDER": folder,
        "BYOCI_REMOTES": " ".join(remote.name for remote in git.remotes),
        "BYOCI_BRANCHES": " ".join(git.branches),
        "BYOCI_LOCAL": git.local,
        "BYOCI_REFERENCE": git.reference,
        "BYOCI_WHO": "%an%x02%ae" if git.by_author else "%cn%x02%ce",
    }
    lines = ["#!/bin/sh -e", "export GIT_TERMINAL_PROMPT=0", "more= local=", _CHOOSE]
    lines += ['mkdir -p -- "$BYOCI_FOLDER"', 'cd -- "$BYOCI_FOLDER"']
    if git.wipe:
        lines.append("find . -mindepth 1 -delete")
    lines.append("[ -d .git ] || git init --quiet")
    if git.clean:
        lines.append("git clean --quiet -ffdx")
    if git.reference:
        lines.append('[ ! -d "$BYOCI_REFERENCE" ] || echo "$BYOCI_REFERENCE/objects" > .git/objects/info/alternates')
        lines.append(
            '[ ! -d "$BYOCI_REFERENCE/.git" ] || echo "$BYOCI_REFERENCE/.git/objects" > .git/objects/info/alternates'
        )
    for number, (name, value) in enumerate(git.config):
        texts[f"BYOCI_CONFIG_{number}"] = value
        lines.append(f'git config {name} "$BYOCI_CONFIG_{number}"')
    lines += _fetch(git, texts)
    lines.append("choose" if git.many else 'plain "$BYOCI_BRANCHES" || exit 1')
    lines += _checkout(git, texts)
    return "\n".join([*lines, _NOTE]), texts, f"{folder}/.git/byoci.properties", f"{folder}/.git/byoci.changes"


def _fetch(git: Git, texts: dict[str, str]) -> list[str]:
    options = ["--quiet", "--force", "--tags" if git.tags else "--no-tags", *git.prune]
    if git.depth:
        options.append(f"--depth={git.depth}")
    start = f"timeout {git.minutes * 60} " if git.minutes else ""
    lines = []
    for number, remote in enumerate(git.remotes):
        texts |= {f"BYOCI_URL_{number}": remote.url, f"BYOCI_REFSPECS_{number}": " ".join(remote.refspecs)}
        key = f"remote.{remote.name}"
        fetch = f"set -f; {start}git fetch {' '.join(options)} {remote.name} $BYOCI_REFSPECS_{number}"
        lines += [
            f'git config {key}.url "$BYOCI_URL_{number}"',
            f"git config --unset-all {key}.fetch || true",
            f'(set -f; for one in $BYOCI_REFSPECS_{number}; do git config --add {key}.fetch "$one"; done)',
            "tries=0",
            f"until ({fetch}); do",
            f'    [ "$tries" -lt {git.retries} ] || exit 1',
            '    tries=$((tries + 1)); echo "Trying again in 10 seconds"; sleep 10',
            "done",
        ]
    return lines


def _checkout(git: Git, texts: dict[str, str]) -> list[str]:
    lines = []
    if git.sparse:
        texts["BYOCI_SPARSE"] = "\n".join(git.sparse)
        lines.append('printf "%s\\n" "$BYOCI_SPARSE" | git sparse-checkout set --no-cone --stdin')
    else:
        lines.append("[ ! -e .git/info/sparse-checkout ] || git sparse-checkout disable")
    if git.local:
        lines += [
            'local=$BYOCI_LOCAL; [ "$local" != "**" ] || local=${branch#*/}',
            'git checkout --quiet --force -B "$local" "$commit"',
        ]
    else:
        lines.append('git checkout --quiet --force --detach "$commit"')
    if git.clean:
        lines.append("git clean --quiet -ffdx")
    if git.lfs:
        lines.append("git lfs pull")
    if git.submodules is not None:
        texts |= {f"BYOCI_SUBMODULES_{number}": text for number, text in enumerate(git.submodules)}
        words = " ".join(f'"$BYOCI_SUBMODULES_{number}"' for number in range(len(git.submodules)))
        lines += ["git submodule --quiet sync", f"git submodule --quiet update --init --force {words}"]
    if git.tag:
        lines.append(
            'git -c user.name=byoci -c user.email=byoci@localhost tag -f -a -m "$BUILD_TAG" "$BUILD_TAG" '
            '"$commit" > /dev/null'
        )
    return lines
