#!/bin/bash
# walk.sh FOLDER [install] [controlled] [killed] [hung] [restarted] [upgraded] [boot] [removed]: the service of the Debian packages
#   in FOLDER (xthrottle_V_amd64.deb and xthrottle_V+newer_amd64.deb) through what happens to a service, in a dom0 that boots systemd.
#   Prints what was done and what was seen, for a person to read. First: image.sh, with the same LAB; the lab is left running
#   (stop.sh). env: LAB, PORT
export LAB=${LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/xenlab-systemd} PORT=${PORT:-2222}
HERE=$(cd "$(dirname "$0")/.." && pwd)
DEBS=$1; shift
STEPS=${*:-install controlled killed hung restarted upgraded boot removed}

step() { case " $STEPS " in *" $1 "*) echo; echo "== $2";; *) return 1;; esac; }
# What is printed of it: the command, its output, its exit code where it is not 0.
dom0() { echo "# $1"; timeout "${2:-120}" bash "$HERE/dom0.sh" "$SETUP
$1" 2>&1 || echo "[exit $?]"; }

SETUP=$(cat <<'DOM0'
export DEBIAN_FRONTEND=noninteractive
show() { systemctl show -p ActiveState -p SubState -p NRestarts -p Result -p StatusText xthrottle; }
caps() { xl sched-credit | awk 'NR > 2 { print "cap of " $1 ": " $NF }'; }
link='unset LIBXL_SAVE_HELPER; linkrate 5000000 | xl migrate-receive'
start() {
  rm -f /root/xl.code
  (LIBXL_SAVE_HELPER=/usr/lib/xthrottle/front.sh setsid sh -c "xl migrate -s '' vm1 '$link' >/root/xl.out 2>&1; echo \$? >/root/xl.code" </dev/null >/dev/null 2>&1 &)
}
# Until the guest has a cap, or its migration is over.
capped() {
  for i in $(seq 300); do
    xl sched-credit | awk 'NR > 2 && $NF > 0 { found = 1 } END { exit !found }' && break
    [ ! -s /root/xl.code ] || { echo 'never capped'; break; }
    sleep 0.3
  done
  caps
}
uncapped() {
  for i in $(seq 100); do
    xl sched-credit | awk 'NR > 2 && $NF > 0 { found = 1 } END { exit found }' && break
    sleep 0.3
  done
  caps
}
ended() {
  for i in $(seq 400); do [ -s /root/xl.code ] && break; sleep 0.3; done
  echo "xl migrate ended with $(cat /root/xl.code)"; caps
}
log() { journalctl -u xthrottle --no-pager -o cat | tail -n "${1:-8}"; }
DOM0
)

if step install 'install: readiness, status, directories, hardening'; then
  bash "$HERE/boot.sh" || { tail -n 40 "$LAB/run$PORT/console.log"; exit 1; }
  for deb in "$DEBS"/*.deb; do timeout 120 bash "$HERE/dom0.sh" "cat > /root/$(basename "$deb")" < "$deb"; done
  dom0 'mv /usr/local/bin/node /root/ 2>/dev/null; systemctl is-system-running; systemctl --failed --no-legend; systemctl is-active xen xendomains; xl list'
  dom0 'dpkg -P xthrottle >/dev/null 2>&1; rm -rf /etc/xthrottle; true'
  dom0 'cd /root; apt install -y ./$(ls | grep "^xthrottle_" | grep -v newer) 2>&1 | cat; /usr/lib/xthrottle/build-policy' 300
  dom0 'systemctl is-enabled xthrottle xthrottle-restore; systemctl --no-pager status xthrottle; show'
  dom0 'ls -ld /run/xthrottle /var/lib/xthrottle; ls -l /run/xthrottle; systemd-analyze verify xthrottle.service xthrottle-restore.service; systemd-analyze security xthrottle --no-pager | tail -n 1'
  dom0 'sed -i "1i target-downtime = 2s\nmax-stall = 250ms\non-miss = proceed\ncontroller = step-down" /etc/xthrottle/xthrottle.conf; systemctl restart xthrottle; systemctl is-active xthrottle'
  dom0 'domu vm1 mem=128 ws=32 rate=3000 pat=seq'
fi
step controlled 'a migration that another program starts, under the service' && {
  dom0 'start; capped; show' 200; dom0 'ended; show; tail -n 3 /root/xl.out; log; ls /var/lib/xthrottle /var/lib/xthrottle/traces; ls /var/log/xen/console' 200; }
step killed 'the service is killed (SIGKILL) in a throttled migration' && {
  dom0 'start; capped; systemctl kill --kill-whom=main -s KILL xthrottle; uncapped; for i in $(seq 60); do systemctl is-active -q xthrottle && break; sleep 0.5; done; show' 250; dom0 'ended; log 20; ls /var/lib/xthrottle' 200; }
step hung 'the service hangs in a throttled migration: the watchdog' && {
  dom0 'mkdir -p /run/systemd/system/xthrottle.service.d; printf "[Service]\nWatchdogSec=20\n" > /run/systemd/system/xthrottle.service.d/watchdog.conf; systemctl daemon-reload; systemctl restart xthrottle; sleep 25; show'
  dom0 'start; capped; date +%T; kill -STOP $(systemctl show -P MainPID xthrottle); uncapped; date +%T; for i in $(seq 120); do [ "$(systemctl show -P NRestarts xthrottle)" -gt 0 ] && systemctl is-active -q xthrottle && break; sleep 0.5; done; date +%T; show' 300; dom0 'ended; log 12; ls /var/lib/xthrottle; rm -r /run/systemd/system/xthrottle.service.d; systemctl daemon-reload; systemctl restart xthrottle' 200; }
step restarted 'the service is restarted in a throttled migration' && {
  dom0 'start; capped; systemctl restart xthrottle; caps; show' 250; dom0 'ended; log; ls /var/lib/xthrottle' 200; }
step upgraded 'the package is upgraded in a throttled migration' && {
  dom0 'start; capped; systemctl show -p MainPID xthrottle; dpkg -i --force-confold /root/xthrottle_*+newer_*.deb; systemctl show -p MainPID xthrottle; xthrottle --version; caps' 300; dom0 'ended; show; log 4; systemctl restart xthrottle; show' 200; }
step boot 'what a host that died has left is put back at boot' && {
  # Everything of ours is killed at once, as the power going does; the entry in the journal and the cap are what is left.
  dom0 'systemctl stop xthrottle; link2="unset LIBXL_SAVE_HELPER; linkrate 3000000 | xl migrate-receive"; (setsid xthrottle migrate vm1 "$link2" -- -s "" >/root/m.out 2>&1 </dev/null &); for i in $(seq 300); do ls /var/lib/xthrottle | grep -q ^cap- && break; sleep 0.3; done; sleep 1; kill -KILL $(grep -l /usr/lib/xthrottle /proc/[0-9]*/cmdline | cut -d/ -f3 | grep -v $$) 2>/dev/null; sleep 3; caps; ls /var/lib/xthrottle' 250
  dom0 'xl list; systemctl start xthrottle-restore; systemctl --no-pager status xthrottle-restore | tail -n 4; caps; ls /var/lib/xthrottle; systemctl start xthrottle; show'; }
step removed 'removed and purged' && {
  dom0 'dpkg -r xthrottle; systemctl list-units --all --no-legend "xthrottle*"; caps; dpkg -P xthrottle; find / -xdev -iname "*xthrottle*" ! -path "/root/*" ! -path "/proc/*"; ls -d /run/xthrottle' 300; }
echo
