#!/bin/sh
# pack.sh BUILD FOLDER — what a machine without our libraries needs to run the programs of a build
#
# Copies `dimr`, bench-forward, the test programs of the suite "gpu", the NVIDIA module, every shared
# library that they load (but the C library's and NVIDIA's own, which belong to the machine), the
# starter model, the reference numbers and these scripts, and makes FOLDER.tar.gz of it all.
# FOLDER/run PROGRAM [ARGUMENT…] starts a program there.
#
# WITHOUT_DATA=1 in the environment leaves model and numbers out (29 MB packed), for a machine that has a copy of the
# sources: there DIMR_DATA_DIR is their data/, and DIMR_REFERENCE_DIR their tests/data/reference.
# SPDX-License-Identifier: Apache-2.0
set -eu

[ $# -eq 2 ] || { echo "usage: pack.sh BUILD FOLDER" >&2; exit 2; }
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
[ -x "$build/app/dimr" ] || { echo "pack.sh: $build is no build with app/dimr in it: run ninja there first" >&2; exit 1; }
mkdir -p "$2"
folder=$(cd "$2" && pwd)
rm -rf "${folder:?}/bin" "${folder:?}/lib" "$folder/data" "$folder/reference" "$folder/bench" "$folder/gpu-tests"
mkdir -p "$folder/bin" "$folder/lib" "$folder/data/models" "$folder/bench"

# One test a line: name, program, environment, with tabs between them; meson knows the suite. What takes arguments is
# none that runs by itself elsewhere: the session has its own ways.
meson introspect --tests "$build" | python3 -c '
import json, sys
for test in json.load(sys.stdin):
    if any(suite.split(":")[-1] == "gpu" for suite in test["suite"]) and len(test["cmd"]) == 1:
        names = sorted(name for name in test["env"] if name.startswith("DIMR_") or name == "LC_ALL")
        print(test["name"], test["cmd"][0], " ".join(name + "=" + test["env"][name] for name in names), sep="\t")
' > "$folder/gpu-tests.all"

set -- "$build/app/dimr" "$build/tests/bench/bench-forward"
: > "$folder/gpu-tests"
while IFS="$(printf '\t')" read -r name program variables; do
  [ -x "$program" ] || { echo "pack.sh: there is no $program: run ninja in $build first" >&2; exit 1; }
  set -- "$@" "$program"
  printf '%s\t%s\t%s\n' "$name" "$(basename "$program")" "$variables" >> "$folder/gpu-tests"
done < "$folder/gpu-tests.all"
rm "$folder/gpu-tests.all"
cp "$@" "$folder/bin/"
module="$build/kernels/cuda/libdimr-cuda.so"
if [ -e "$module" ]; then
  cp "$module" "$folder/lib/"
  set -- "$@" "$module"
fi

# Of the build's own files, whose run paths still lead to its libraries; ldd tells what those load, too.
for file in "$@"; do
  ldd "$file" 2>/dev/null | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p'
done | sort -u |
  grep -vE '/(ld-linux|lib(c|m|dl|rt|pthread|resolv|util|mvec|cuda|nvidia-.*|cublas.*|cudnn.*|nvrtc.*)\.so)' |
  while read -r library; do cp -L "$library" "$folder/lib/"; done

# They are ten times as large with what a debugger reads.
strip --strip-unneeded "$folder"/bin/* "$folder"/lib/*

if [ "${WITHOUT_DATA:-}" != 1 ]; then
  cp -R "$source/data/models/starter" "$folder/data/models/"
  cp -R "$source/tests/data/reference" "$folder/"
fi
cp "$here"/*.py "$here"/*.sh "$folder/bench/"
git -C "$source" describe --always --dirty --exclude '*' > "$folder/commit" 2>/dev/null || echo unknown > "$folder/commit"

cat > "$folder/run" <<'RUN'
#!/bin/sh
# Starts PROGRAM of bin/ with the libraries beside it. NVIDIA's own are the machine's, or PyTorch's.
here=$(cd "$(dirname "$0")" && pwd)
nvidia=$(python3 - 2>/dev/null <<'PYTHON'
import glob, importlib.util
spec = importlib.util.find_spec("nvidia")
for root in (spec.submodule_search_locations if spec else []):
    print(*glob.glob(root + "/*/lib"), sep="\n")
PYTHON
)
LD_LIBRARY_PATH=$here/lib:$(echo "$nvidia" | tr '\n' ':')${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64
DIMR_DATA_DIR=${DIMR_DATA_DIR:-$here/data}
DIMR_REFERENCE_DIR=${DIMR_REFERENCE_DIR:-$here/reference}
export LD_LIBRARY_PATH DIMR_DATA_DIR DIMR_REFERENCE_DIR
if [ -e "$here/lib/libdimr-cuda.so" ] && [ -z "${DIMR_CUDA_MODULE:-}" ]; then
  DIMR_CUDA_MODULE=$here/lib/libdimr-cuda.so
  export DIMR_CUDA_MODULE
fi
program=$1
shift
exec "$here/bin/$program" "$@"
RUN
# side_by_side.py takes one program.
printf '#!/bin/sh\nexec "$(dirname "$0")/run" bench-forward "$@"\n' > "$folder/run-bench-forward"
chmod +x "$folder/run" "$folder/run-bench-forward"
tar czf "$folder.tar.gz" -C "$(dirname "$folder")" "$(basename "$folder")"
du -h "$folder.tar.gz"
du -sh "$folder" | sed 's/\t.*/ in /; s/$/ '"$(ls "$folder/bin" | wc -l)"' programs/'
