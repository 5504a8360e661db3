#!/usr/bin/env bash
# Runs a test program on an emulated Sapphire Rapids, which has AVX-512 and AMX whatever this machine has.
#
#   scripts/emulate/run.sh PROGRAM [ARGUMENT ...]
#
# The program, which must be statically linked, runs in a small Linux inside Bochs. Its output is printed as it comes and
# its exit status is this script's; 124 is out of time, 125 a Linux that stopped first. Variables named PROPTEST_*, RUST_*
# and SUREFOOT_* go with it. For the tests of crates/kernels:
#
#   rustup target add x86_64-unknown-linux-musl
#   cargo test -p surefoot-kernels --release --target x86_64-unknown-linux-musl --no-run
#   PROPTEST_CASES=4 scripts/emulate/run.sh target/x86_64-unknown-linux-musl/release/deps/amx-HASH --test-threads=1
#
# What must be there:
#   BOCHS     Bochs 3.0 ("bochs" on the PATH unless told), built from its source with bochs-3.0.sh run in it (without that
#             Linux cannot use AMX in it: it has no XFD, and saves tiles wrongly) and configured with
#             --enable-cpu-level=6 --enable-x86-64 --enable-avx --enable-evex --enable-amx --enable-all-optimizations
#             --enable-pci --with-nogui
#   BIOS      its BIOS-bochs-latest, and VGABIOS, any VGA BIOS for it (Debian: bochsbios, vgabios)
#   KERNEL    a Linux kernel image, 5.16 or newer, with the serial console built in (Debian: linux-image-cloud-amd64)
#   ISOLINUX  a folder with isolinux.bin and ldlinux.c32 (Debian: isolinux, syslinux-common)
#   BUSYBOX   a statically linked busybox ("busybox" on the PATH unless told; Debian: busybox-static)
#   cpio, gzip, xorriso on the PATH
#
# CPU names another of Bochs' processors: corei7_skylake_x has AVX-512 without AMX.
#
# Linux starts in about a minute; after that a program runs tens of times slower than outside, so set PROPTEST_CASES low.
# TIMEOUT is in seconds, 3000 unless told.
set -euo pipefail

: "${1:?which program?}" "${KERNEL:?}" "${BIOS:?}" "${VGABIOS:?}" "${ISOLINUX:?}"
bochs=${BOCHS:-$(command -v bochs)}
busybox=${BUSYBOX:-$(command -v busybox)}
program=$1
shift

work=$(mktemp -d)
emulator=
trap 'if [ -n "$emulator" ]; then kill "$emulator" 2>/dev/null || true; fi; rm -rf "$work"' EXIT

mkdir -p "$work"/root/{bin,proc,sys,dev,tmp} "$work"/disc
cp "$busybox" "$work/root/bin/busybox"
cp "$program" "$work/root/program"
{
  echo '#!/bin/busybox sh'
  echo '/bin/busybox mount -t proc proc /proc'
  echo '/bin/busybox mount -t sysfs sysfs /sys'
  echo '/bin/busybox mount -t devtmpfs devtmpfs /dev'
  { env | grep -E '^(PROPTEST_|RUST_|SUREFOOT_)' || true; } | while IFS='=' read -r name value; do
    printf 'export %s=%q\n' "$name" "$value"
  done
  printf 'cd /tmp\n/program'
  if [ $# -gt 0 ]; then printf ' %q' "$@"; fi
  echo
  echo 'echo "emulated program ended: $?"'
  echo '/bin/busybox sleep 2'
  echo '/bin/busybox poweroff -f'
} > "$work/root/init"
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio --quiet -o -H newc | gzip -1) > "$work/disc/initrd"

cp "$KERNEL" "$work/disc/kernel"
cp "$ISOLINUX/isolinux.bin" "$ISOLINUX/ldlinux.c32" "$work/disc/"
# Bochs has no fast strings but says that they are fast when short (feature 580), which Linux believes.
cat > "$work/disc/isolinux.cfg" <<'CONFIG'
default emulated
label emulated
  kernel kernel
  append initrd=initrd console=ttyS0 quiet panic=-1 clearcpuid=580 mitigations=off tsc=reliable
CONFIG
xorriso -as mkisofs -quiet -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table \
  -o "$work/disc.iso" "$work/disc" 2> "$work/iso.log" || { cat "$work/iso.log" >&2; exit 1; }

# With five-level page tables, Bochs fails when it leaves system management mode.
cat > "$work/bochsrc" <<CONFIG
config_interface: textconfig
display_library: nogui
cpu: model=${CPU:-sapphire_rapids}, exclude_features="la57", count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=1024, host=1024
romimage: file=$BIOS, options=fastboot
vgaromimage: file=$VGABIOS
ata0: enabled=1
ata0-master: type=cdrom, path=$work/disc.iso, status=inserted
boot: cdrom
clock: sync=none
com1: enabled=1, mode=file, dev=$work/serial
log: $work/log
panic: action=fatal
error: action=report
info: action=ignore
CONFIG
: > "$work/serial"
"$bochs" -q -f "$work/bochsrc" < /dev/null > "$work/console" 2>&1 &
emulator=$!

tail -c +1 -f --pid="$emulator" "$work/serial" | tr -d '\r' | sed -u '/program ended: /q' &
reader=$!
deadline=$((SECONDS + ${TIMEOUT:-3000}))
while kill -0 "$emulator" 2>/dev/null && ! grep -q 'emulated program ended' "$work/serial"; do
  if [ "$SECONDS" -gt "$deadline" ]; then echo 'emulate: out of time' >&2; exit 124; fi
  sleep 1
done
kill "$emulator" 2>/dev/null || true
wait "$reader" || true
status=$(sed -n 's/.*emulated program ended: \([0-9]*\).*/\1/p' "$work/serial" | head -1)
if [ -z "$status" ]; then
  echo 'emulate: the emulator stopped before the program did' >&2
  tail -n 20 "$work/console" >&2
  tail -n 20 "$work/log" >&2
  exit 125
fi
exit "$status"
