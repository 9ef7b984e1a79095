#!/bin/sh
# The runtime is our own: what the environment says of another one is not for it.
unset NODE_OPTIONS NODE_PATH
exec /usr/lib/xthrottle/node /usr/lib/xthrottle/dist/src/cli/bin.js "$@"
