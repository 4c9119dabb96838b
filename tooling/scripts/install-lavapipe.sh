#!/usr/bin/env bash
# A Vulkan driver for machines without a GPU: Mesa's lavapipe, on which the webgpu backend's tests run. Debian 12
# ships 22.3, which Dawn rejects (no dynamic indexing of uniform arrays), so the package comes from backports.
# Needs root and apt. Does nothing where lavapipe 25 or newer is there already.
set -euo pipefail
version="$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null || true)"
if [ -n "$version" ] && dpkg --compare-versions "$version" ge 25; then
  echo "lavapipe is there: mesa-vulkan-drivers $version"
  exit 0
fi
. /etc/os-release
if [ "${VERSION_CODENAME:-}" != bookworm ]; then
  # Trixie and Ubuntu 25.04 have Mesa 25 in their own suites.
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers
else
  # The archive that this machine already uses, with the suite changed; kept apart from its own lists of sources.
  uri="$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)"
  if [ -z "$uri" ]; then
    uri="$(awk '$1 == "deb" && $0 ~ /bookworm/ { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' /etc/apt/sources.list 2>/dev/null || true)"
  fi
  parts="$(mktemp -d)"
  trap 'rm -rf "$parts"' EXIT
  cat > "$parts/backports.sources" <<SOURCES
Types: deb
URIs: ${uri:-http://deb.debian.org/debian}
Suites: bookworm bookworm-updates bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  only=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$parts")
  apt-get "${only[@]}" update -qq
  apt-get "${only[@]}" install -y -qq --no-install-recommends -t bookworm-backports mesa-vulkan-drivers
fi
dpkg-query -W -f 'installed mesa-vulkan-drivers ${Version}\n' mesa-vulkan-drivers
