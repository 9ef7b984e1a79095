#!/bin/sh
# What LIBXL_SAVE_HELPER names: stands between libxl and its save helper.
#
# A live, plain save (a migration) while an xthrottle listens goes to the relay. Everything else (restore, xl save, Remus, COLO, nobody
# listening, no node) becomes the real helper at once, by exec, and costs a few file tests.
#
#   XTHROTTLE_SOCKET       the socket of the xthrottle that listens; default /run/xthrottle/control.sock, its pid beside it in .pid
#   XTHROTTLE_REAL_HELPER  the real libxl-save-helper; default: the one of the running Xen
#   XTHROTTLE_NODE         node; default: the one that came with us (the Debian package), else the one in PATH
set -u

self=$0

# Sets $helper.
find_helper() {
  helper=${XTHROTTLE_REAL_HELPER:-}
  [ -n "$helper" ] && [ "$helper" != "$self" ] && [ -x "$helper" ] && return 0
  major='' minor=''
  { read -r major </sys/hypervisor/version/major; } 2>/dev/null
  { read -r minor </sys/hypervisor/version/minor; } 2>/dev/null
  for directory in "/usr/lib/xen-$major.$minor/bin" /usr/libexec/xen/bin /usr/lib/xen/bin /usr/lib64/xen/bin \
    /usr/local/libexec/xen/bin /usr/local/lib/xen/bin /usr/local/lib64/xen/bin; do
    helper=$directory/libxl-save-helper
    [ -x "$helper" ] && return 0
  done
  printf '%s\n' "xthrottle: no libxl-save-helper for Xen ${major:-?}.${minor:-?} found; name it in XTHROTTLE_REAL_HELPER" >&2
  exit 127
}

number() {
  case $1 in '' | *[!0-9]* | ???????????*) return 1 ;; esac
}

# --save-domain STREAM-FD BACK-CHANNEL-FD DOMID FLAGS CALLBACK-FLAGS STREAM-TYPE: flags bit 0 is "live", stream type 0 is "plain"
is_migration() {
  [ "$#" -eq 7 ] && [ "$1" = --save-domain ] && [ "$7" = 0 ] && number "$2" && number "$4" && number "$5" || return 1
  # The last digit tells whether bit 0 is set.
  case $5 in *[13579]) return 0 ;; esac
  return 1
}

is_listening() {
  socket=${XTHROTTLE_SOCKET:-/run/xthrottle/control.sock}
  [ -S "$socket" ] && [ -r "$socket.pid" ] || return 1
  pid=''
  { read -r pid <"$socket.pid"; } 2>/dev/null
  number "$pid" && [ "$pid" -gt 1 ] && kill -0 "$pid" 2>/dev/null
}

# Sets $ours, $node and $relay.
has_relay() {
  # This file may be reached through a symbolic link.
  target=$self
  [ ! -L "$self" ] || target=$(readlink -f -- "$self") || return 1
  case $target in */*) ours=${target%/*} ;; *) ours=. ;; esac
  relay=$ours/relay.js
  node=${XTHROTTLE_NODE:-$ours/node}
  [ -n "${XTHROTTLE_NODE:-}" ] || [ -x "$node" ] || node=$(command -v node) || return 1
  [ -x "$node" ] && [ ! -d "$node" ] && [ -r "$relay" ]
}

find_helper
if is_migration "$@" && is_listening && has_relay; then
  export XTHROTTLE_SOCKET="$socket" XTHROTTLE_REAL_HELPER="$helper"
  exec "$node" "$relay" "$@"
fi
exec "$helper" "$@"
