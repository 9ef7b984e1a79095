#!/bin/bash
# image.sh: builds in $LAB (default ~/.cache/xenlab-systemd) a lab whose dom0 boots systemd, with Debian's own xen and xendomains
#   scripts. Then boot.sh, dom0.sh, stop.sh with the same LAB. Needs what build-image.sh needs.
set -euo pipefail
export LAB=${LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/xenlab-systemd}
HERE=$(cd "$(dirname "$0")" && pwd)
# A compiler and Xen's headers: what an admin installs to build the pre-copy policy object in dom0.
EXTRA_DEBS="systemd-sysv udev dbus gcc libc6-dev libxen-dev ${EXTRA_DEBS:-}" "$HERE/../build-image.sh"
cd "$LAB"
units=img/etc/systemd/system
cp "$HERE"/*.service $units/
for unit in "$HERE"/*.service; do ln -sf "/etc/systemd/system/$(basename "$unit")" $units/multi-user.target.wants/; done
ln -sf /lib/systemd/system/multi-user.target $units/default.target
rm -f $units/getty.target.wants/* $units/timers.target.wants/* $units/multi-user.target.wants/e2scrub_reap.service
cp "$HERE/lab-net.sh" img/lab/
# eth0 and eth1, as in the lab with busybox's init.
mkdir -p img/etc/systemd/network; ln -sf /dev/null img/etc/systemd/network/99-default.link
# Packages may start their services here.
rm -f img/usr/sbin/policy-rc.d
grep -q '^XENCONSOLED_ARGS' img/etc/default/xen ||
  echo 'XENCONSOLED_ARGS="--log=guest --timestamp=all --log-dir=/var/log/xen/console"' >> img/etc/default/xen
sed -i 's#exec /bin/busybox switch_root /root .*#exec /bin/busybox switch_root /root /sbin/init#' d0/init
(cd d0; find . | cpio -o -H newc --quiet) | gzip -1 > boot/dom0-initrd
size=$(( $(du -sm img | cut -f1) + 400 ))
rm -f dom0.img; truncate -s ${size}M dom0.img; mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -d img dom0.img
echo "systemd image in $LAB"
