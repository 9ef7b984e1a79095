#!/bin/bash
# As dom0/rc does it: eth0 for ssh; with lab.name and lab.ip (pair.sh) a host name and eth1, the private link.
arg() { local a; for a in $(cat /proc/cmdline); do case $a in lab.$1=*) echo "${a#*=}" ;; esac; done; }
for _ in $(seq 50); do [ -e /sys/class/net/eth0 ] && break; sleep 0.2; done
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2
name=$(arg name)
[ -z "$name" ] || { hostname "$name"; echo "$name" > /etc/hostname; echo '127.0.0.1 localhost' > /etc/hosts; }
address=$(arg ip)
[ -z "$address" ] || { ip addr add "$address" dev eth1; ip link set eth1 up; }
mkdir -p /var/log/xen/console; chown -R 0:0 /root/.ssh
