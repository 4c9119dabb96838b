#!/usr/bin/env bash
# A browser for the web page's tests: Debian's or Ubuntu's Chromium. Needs root and apt. Does nothing where a Chromium or
# Chrome is there already. Ubuntu's package chromium is a snap, which needs a running snapd; machines for continuous
# integration there come with Chrome.
set -euo pipefail
for browser in chromium chromium-browser google-chrome; do
  if [ -x "/usr/bin/$browser" ]; then
    echo "a browser is there: /usr/bin/$browser"
    exit 0
  fi
done
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium
dpkg-query -W -f 'installed chromium ${Version}\n' chromium
