#!/bin/sh
# Runs the tests of crates/kernels under valgrind's memcheck: reads and writes beyond a slice, and results that depend on
# memory that nobody wrote. Valgrind knows AVX2, but neither AVX-512 nor AMX: where it runs, those count as missing.
#
#   scripts/kernels/valgrind.sh [name of a test binary, such as gemm]...
set -eu
cd "$(dirname "$0")/../.."

command -v valgrind > /dev/null || { echo "NOT RUN: no valgrind"; exit 1; }
valgrind --version
echo "NOT RUN: avx512 and amx, which valgrind does not know"

# With debug information, so that a finding has its line. A few cases of each property: valgrind is fifty times slower.
export CARGO_PROFILE_RELEASE_DEBUG=1 CARGO_PROFILE_RELEASE_STRIP=none
export RUST_BACKTRACE=0
export PROPTEST_CASES="${PROPTEST_CASES:-6}"
binaries=$(cargo test -p surefoot-kernels --release --no-run --lib --tests 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
[ -n "$binaries" ] || { echo "no test binaries were built"; exit 1; }

for binary in $binaries; do
  name=$(basename "$binary" | sed 's/-[0-9a-f]*$//')
  if [ $# -gt 0 ]; then
    case " $* " in *" $name "*) ;; *) continue ;; esac
  fi
  echo "valgrind: $name"
  # The functions of math.rs are held against f64 for millions of numbers, without memory of their own.
  valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite "$binary" --test-threads=1 --skip math::
done
echo "valgrind: nothing found"
