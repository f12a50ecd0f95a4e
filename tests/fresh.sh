#!/bin/sh
# Proves by hand, as root, that a machine with nothing but Python becomes one with Ebb: the commands of the
# README in a bare Debian trixie, from an empty clone with empty caches; then `demo` as an unprivileged user.
#
#   tests/fresh.sh                          demo --check, test, demo as a user
#   tests/fresh.sh DIR                      in this folder (kept afterwards; a second run starts anew in it)
#   tests/fresh.sh DIR setup kernel …       only these commands of build.py
#
# Needs debootstrap and 12 GB of disk. What this machine's apt, pip and npm are configured with is copied in,
# with its CA file, at run time. Everything happens in a mount namespace of its own: nothing stays mounted.
set -eu

if [ "$(id -u)" != 0 ]; then echo "tests/fresh.sh: run it as root" >&2; exit 1; fi
if ! command -v debootstrap >/dev/null; then
    echo "tests/fresh.sh: no debootstrap; mend: apt-get install -y debootstrap" >&2; exit 1
fi
if [ -z "${EBB_FRESH_INSIDE:-}" ]; then
    exec env EBB_FRESH_INSIDE=1 unshare --mount --pid --fork --kill-child sh "$0" "$@"
fi

repository=$(cd "$(dirname "$0")/.." && pwd)
root=${1:-$(mktemp -d)}
[ $# -gt 0 ] && shift
mkdir -p "$root"

# The first Debian mirror of this machine's apt sources, one-line or deb822.
mirror=${EBB_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
    2>/dev/null | sed -n -e 's/^URIs: *\(http[^ ]*\).*/\1/p' -e 's/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*\).*/\2/p' | head -n 1)}
if [ ! -e "$root/etc/debian_version" ]; then
    echo "== debootstrap trixie into $root"
    debootstrap --variant=minbase --include=python3 trixie "$root" "$mirror" >"$root.log" 2>&1 \
        || { tail -n 20 "$root.log" >&2; exit 1; }
fi

echo "== this machine's settings"
copy() { # FILE [PLACE]: same place unless told
    [ -e "$1" ] || return 0
    mkdir -p "$root$(dirname "${2:-$1}")"
    cp -rL "$1" "$root${2:-$1}"
}
copy /etc/resolv.conf
copy /etc/hosts
for file in $(grep -l Acquire /etc/apt/apt.conf /etc/apt/apt.conf.d/* 2>/dev/null || true) /etc/apt/auth.conf; do
    copy "$file"
done
[ -d /etc/apt/auth.conf.d ] && cp -rL /etc/apt/auth.conf.d "$root/etc/apt/"
copy /etc/pip.conf
copy "$HOME/.config/pip/pip.conf" /root/.config/pip/pip.conf
copy "$HOME/.pip/pip.conf" /root/.pip/pip.conf
{ for file in "$(npm config get globalconfig 2>/dev/null || true)" "$HOME/.npmrc"; do
    [ -f "$file" ] && cat "$file"; echo; done; } >"$root/root/.npmrc"
for file in "${SSL_CERT_FILE:-}" "${NODE_EXTRA_CA_CERTS:-}" "${PIP_CERT:-}" /etc/ssl/certs/ca-certificates.crt; do
    [ -n "$file" ] && copy "$file"
done
# Also one by one: installing ca-certificates writes the bundle anew, from these among others.
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$root/usr/local/share/ca-certificates"
    awk -v to="$root/usr/local/share/ca-certificates/host" \
        '/BEGIN CERT/ { n++ } n { print > (to n ".crt") }' /etc/ssl/certs/ca-certificates.crt
fi

mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
# Folders of packages that pip is configured with.
for folder in $(python3 -m pip config list 2>/dev/null | tr "'\" " '\n\n\n' | sed -n 's|^\(file://\)\{0,1\}\(/.*\)$|\2|p'); do
    folder=${folder%/simple} # an index refers to files beside it
    [ -d "$folder" ] || continue
    mkdir -p "$root$folder"
    mount --bind -o ro "$folder" "$root$folder"
done

inside() { # USER COMMAND: with the settings of the environment that concern downloads, and nothing else
    user=$1; shift
    home=$(chroot "$root" sh -c "echo ~$user")
    env | grep -E '^(PIP_|npm_config_|NPM_CONFIG_|SSL_CERT|NODE_EXTRA_CA|REQUESTS_CA|EBB_MIRROR|[a-zA-Z]*_(proxy|PROXY)=)' \
        >"$root/tmp/environment" || true
    # shellcheck disable=SC2046
    chroot --userspec="$user" "$root" /usr/bin/env -i HOME="$home" LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        $(cat "$root/tmp/environment") sh -c "cd ~/ebb && $*"
}
size() { # USER: what all of it takes on disk
    home=$(chroot "$root" sh -c "echo ~$1")
    echo "== $1: on disk, in MB"
    (cd "$root$home" && du -smc ebb .cache .npm)
}
clone() { # USER: an empty clone, and no caches
    home=$(chroot "$root" sh -c "echo ~$1")
    rm -rf "${root:?}$home/ebb" "${root:?}$home/.cache" "${root:?}$home/.npm"
    mkdir -p "$root$home/ebb"
    git -C "$repository" archive HEAD | tar -x -C "$root$home/ebb"
    chroot "$root" chown -R "$1" "$home"
}

if [ -n "$(chroot "$root" sh -c 'command -v pip node gcc curl' || true)" ]; then
    echo "   (not bare any more: an earlier run has installed packages)"
fi
clone root
if [ $# -gt 0 ]; then
    for command; do echo "== build.py $command"; inside root "python3 build.py $command"; done
    exit 0
fi
for command in "demo --check" test; do
    echo "== root: python3 build.py $command"
    inside root "python3 build.py $command"
done
size root

chroot "$root" id visitor >/dev/null 2>&1 || chroot "$root" useradd -m visitor
cp -r "$root/root/.npmrc" "$root/root/.config" "$root/home/visitor/" 2>/dev/null || true
clone visitor
echo "== visitor: python3 build.py demo"
inside visitor ": >demo.log; python3 build.py demo >demo.log 2>&1 & python3 - <<'END'
import re, sys, time, urllib.request
for _ in range(1800):
    text = open('demo.log').read()
    found = re.search('Ebb is at (http[^ ]*)', text)
    if found or 'failed:' in text:
        break
    time.sleep(1)
print(text)
page = urllib.request.urlopen(found[1]) if found else sys.exit('no page')
assert page.headers['Cross-Origin-Opener-Policy'] == 'same-origin' and b'<title>' in page.read()
END"
size visitor
echo "== fresh: all is well"
