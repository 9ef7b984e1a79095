# /etc/profile.d/xthrottle.sh: migrations that are started from a login shell take part.
# Remove it before the xthrottle package: libxl does not migrate without the helper that is named here.
[ ! -x /usr/lib/xthrottle/front.sh ] || export LIBXL_SAVE_HELPER=/usr/lib/xthrottle/front.sh
