#!/usr/bin/env bash
# Build both distributions, check them, and let each prove itself in a clean environment. Uploads nothing.
#
#   ci/release.sh            all of it; dist/ has the files in the end
#   ci/release.sh --check    only whether this checkout may be released
#   ci/release.sh --date     only give this version today's date in CHANGELOG.md, in place of (unreleased)
#
# Refused, with exit code 2: a dirty tree, and a version without a dated section in CHANGELOG.md. Any other failure
# ends with 1. Needs what `make setup` makes; another environment: VENV=path ci/release.sh
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}

refuse() { echo "error: $1" >&2; exit 2; }

case ${1:-} in
  "" | --check | --date) ;;
  *) refuse "ci/release.sh takes --check, --date or nothing, got '$1'." ;;
esac

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' runtime/edgetl_runtime/__init__.py)
[ -n "$version" ] || refuse "no version in runtime/edgetl_runtime/__init__.py. Write: __version__ = \"1.2.3\""
dots=${version//./\\.} today=$(date +%Y-%m-%d)
if [ "${1:-}" = --date ]; then
  grep -q "^## $dots (unreleased)$" CHANGELOG.md || refuse \
    "CHANGELOG.md has no section to date. Write: ## $version (unreleased)"
  sed -i "s/^## $dots (unreleased)$/## $version ($today)/" CHANGELOG.md
  echo "CHANGELOG.md says: ## $version ($today). Commit it, then: ci/release.sh"
  exit 0
fi
changed=$(git status --porcelain) || refuse "this is no git checkout."
[ -z "$changed" ] || refuse "the tree is dirty. Commit or remove these first:
$changed"
grep -qE "^## $dots \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$" CHANGELOG.md || refuse \
  "CHANGELOG.md has no dated section for $version. Write: ## $version ($today), or run: ci/release.sh --date"
echo "edgetl $version at $(git rev-parse --short HEAD) may be released."
[ "${1:-}" != --check ] || exit 0

uv=$VENV/bin/uv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "== build and check"
rm -rf dist
"$VENV/bin/python" -m build --no-isolation --outdir dist . > "$work/build.log"
"$VENV/bin/python" -m build --no-isolation --outdir dist runtime >> "$work/build.log"
"$VENV/bin/python" -m twine check --strict dist/*
EDGETL_DIST=dist "$VENV/bin/pytest" -q tests/test_packaging.py

# The environment is removed before the next one is made: torch takes gigabytes.
install_alone() { # FILE [EXTRAS]
  rm -rf "$work/env"
  "$uv" venv --quiet --python "$VENV/bin/python" "$work/env"
  "$uv" pip install --quiet --python "$work/env/bin/python" --constraint constraints.txt \
    --build-constraints constraints.txt "$PWD/$1${2:-}"
}

for file in dist/edgetl-"$version"-py3-none-any.whl dist/edgetl-"$version".tar.gz; do
  echo "== quick start with $file"
  install_alone "$file"
  (cd "$work" && env -u PYTHONPATH PATH="$work/env/bin:$PATH" EDGETL_CACHE="$work/cache" bash -e "$OLDPWD/ci/quick_start.sh" workstation)
done
for file in dist/edgetl_runtime-"$version"-py3-none-any.whl dist/edgetl_runtime-"$version".tar.gz; do
  echo "== quick start with $file"
  install_alone "$file" "[openvino]"
  (cd "$work" && env -u PYTHONPATH PATH="$work/env/bin:$PATH" EDGETL_CACHE="$work/cache" bash -e "$OLDPWD/ci/quick_start.sh" device)
done
ls -l dist
echo "edgetl $version is ready in dist/; nothing was uploaded."
