#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A build and all that it needs to run, in one folder or one .tar.gz: programs, Open MPI, every shared library but glibc's, the driver's and CUDA's.
# It runs from any place on an x86-64 Linux with this machine's glibc or a newer one; nothing is installed there.
#
# usage: bash tools/portable.sh [-b BUILD] DIR | FILE.tar.gz        BUILD: build/release, or build/cuda
# there: DIR/muster run job.json        or, for mpirun and the rest: . DIR/env.sh        bash DIR/test.sh gpu: tests on the GPU of that machine
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/install.sh
build=build/release
[ "${1:-}" = -b ] && { build=${2:?}; shift 2; }
[ $# -eq 1 ] || { sed -n '6s/^# //p' "$0" >&2; exit 2; }
refuse() { echo "portable.sh: $*" >&2; exit 3; }
[ -x "$build/muster-worker" ] || refuse "$build: has no muster-worker; build it first: cmake --preset release && cmake --build --preset release"
need_packages patchelf binutils file
target=$1 directory=$1
case $target in *.tar.gz | *.tgz) directory=$(mktemp -d)/muster ;; esac
[ ! -e "$directory" ] || refuse "$directory: is there; remove it, or name another one"

mpi=$(ompi_info --path pkglibdir --parsable | sed 's/^path:pkglibdir://')
mpi_data=$(ompi_info --path pkgdatadir --parsable | sed 's/^path:pkgdatadir://')
mpi_settings=$(ompi_info --path sysconfdir --parsable | sed 's/^path:sysconfdir://')
pmix=$(dirname "$(ldconfig -p | sed -n 's/.*libpmix\.so\.2.* => //p' | head -1)")/pmix2

new=$directory.new
rm -rf "$new" && mkdir -p "$new"/{bin,lib/muster,lib/openmpi3,share/openmpi,etc}
cp "$build/muster" "$build/muster-worker" "$(command -v orted)" "$new/bin"
for more in "$build/test_gpu" "$build/bench/bench_kernels"; do [ ! -x "$more" ] || cp "$more" "$new/bin"; done
cp "$(readlink -f "$(command -v mpirun)")" "$new/bin/orterun" && ln -s orterun "$new/bin/mpirun"
cp "$build/libmuster-listen.so" "$new/lib/muster"
cp "$mpi"/*.so "$new/lib/openmpi3"
# Fabrics whose own libraries are many times larger than all else: where they are, the cluster has an Open MPI of its own. Not MPI's or unused: the rest.
rm -f "$new"/lib/openmpi3/{*_ofi,*_psm,*_psm2,*_openib,*_ucx,*_usnic,io_*,mca_io_romio*,*oshmem*,*memheap*,*spml*,*scoll*,*sshmem*,mca_atomic*}.so
cp -r "$mpi_data"/* "$new/share/openmpi"
cp -rL "$mpi_settings" "$new/etc/openmpi"
[ ! -d "$pmix/lib/pmix" ] || { mkdir -p "$new/pmix/lib" && cp -r "$pmix/lib/pmix" "$new/pmix/lib" && cp -rL "$pmix/share" "$new/pmix"; }

# What the dynamic linker finds for all of these, each by its first name.
foreign='^(ld-linux.*|linux-vdso.*|libc|libm|libdl|libpthread|librt|libresolv|libutil|libcuda|libcudart|libcublas.*|libnccl|libnvidia.*)\.so'
find "$new" -type f \( -perm -u+x -o -name '*.so' \) -exec sh -c 'file -b "$1" | grep -q ^ELF && ldd "$1"' sh {} \; 2>/dev/null |
  awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u | grep -Ev "$foreign" >"$new/libraries"
while read -r name path; do cp -L "$path" "$new/lib/$name"; done <"$new/libraries"
rm "$new/libraries"

# rpath and not runpath: it holds for the libraries of libraries too.
find "$new" -type f \( -name '*.so*' -o -path '*/bin/*' \) | while read -r elf; do
  [ "$(head -c 4 "$elf" | tail -c 3)" = ELF ] || continue
  strip --strip-unneeded "$elf" 2>/dev/null || true
  patchelf --force-rpath --set-rpath "\$ORIGIN/$(realpath --relative-to="$(dirname "$elf")" "$new/lib")" "$elf"
done

cat >"$new/env.sh" <<'ENV'
# To be sourced by bash: puts this folder's muster and mpirun first.
MUSTER_PORTABLE=$(cd "$(dirname "${BASH_SOURCE:-$0}")" && pwd)
export PATH=$MUSTER_PORTABLE/bin:$PATH OPAL_PREFIX=$MUSTER_PORTABLE OPAL_BINDIR=$MUSTER_PORTABLE/bin OPAL_LIBDIR=$MUSTER_PORTABLE/lib
export OPAL_PKGLIBDIR=$MUSTER_PORTABLE/lib/openmpi3 OPAL_PKGDATADIR=$MUSTER_PORTABLE/share/openmpi OPAL_SYSCONFDIR=$MUSTER_PORTABLE/etc/openmpi
export PMIX_INSTALL_PREFIX=$MUSTER_PORTABLE/pmix PMIX_PKGLIBDIR=$MUSTER_PORTABLE/pmix/lib/pmix PMIX_PKGDATADIR=$MUSTER_PORTABLE/pmix/share/pmix
# Open MPI stops where it finds no remote shell, also if it is not to reach another host.
command -v ssh rsh >/dev/null || export OMPI_MCA_plm_rsh_agent=false
ENV
cat >"$new/muster" <<'RUN'
#!/usr/bin/env bash
. "$(dirname "$(readlink -f "$0")")/env.sh"
exec muster "$@"
RUN
chmod +x "$new/muster"
cp LICENSE README.md test.sh "$new" # bash test.sh gpu: the programs here, on the GPU of where they are
mkdir -p "$new"/tests/{gpu,golden,system} "$new/tools"
cp tests/summary.py tests/skips.txt "$new/tests" && cp tests/gpu/*.sh "$new/tests/gpu" && cp tests/system/{common.sh,tiny.py} "$new/tests/system" && cp tools/install.sh "$new/tools"
mkdir "$new/bench" && cp bench/{gpu.sh,compare.sh,peer.py,table.py} "$new/bench" # bash bench/gpu.sh
[ ! -x "$build/test_gpu" ] || cp tests/golden/{nn_*.safetensors,train_losses.json} "$new/tests/golden"
mv "$new" "$directory"
if [ "$target" != "$directory" ]; then
  tar -C "$(dirname "$directory")" -czf "$target.new" muster && mv "$target.new" "$target" && rm -rf "$(dirname "$directory")"
fi
echo "$target: $(du -shL "$target" | cut -f1), needs glibc $(ldd --version | sed -n '1s/.* //p') or newer$(readelf -d "$build/muster-worker" | grep -q libcudart && echo ', and libcudart.so.13, libcublasLt.so.13, libnccl.so.2')"
