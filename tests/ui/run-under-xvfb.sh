#!/bin/sh
# Runs a test of the window on a screen of its own: no display, no session bus, no settings of the user's.
# SPDX-License-Identifier: Apache-2.0
set -e
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/runtime" "$home/config/gtk-4.0"
chmod 700 "$home/runtime"
export HOME="$home" XDG_RUNTIME_DIR="$home/runtime" XDG_CONFIG_HOME="$home/config" XDG_DATA_HOME="$home/data" XDG_CACHE_HOME="$home/cache"
export GTK_A11Y=test GSK_RENDERER=cairo GDK_BACKEND=x11
unset DBUS_SESSION_BUS_ADDRESS WAYLAND_DISPLAY
xvfb-run -a -s "-screen 0 1280x900x24" "$@"
