#!/bin/sh
# Builds the pre-copy policy object for the Xen whose headers are installed (Debian: apt install gcc libc6-dev libxen-dev), where the
# relay looks for it. Another release of Xen than the one that runs is refused by the relay, which then leaves stock's rounds in place.
set -eu
state=${XTHROTTLE_STATE:-/var/lib/xthrottle}
mkdir -p -m 0700 "$state"
exec /usr/lib/xthrottle/node /usr/lib/xthrottle/src/xen/relay/build-policy.mjs --out "$state/policy.so" "$@"
