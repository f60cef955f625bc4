#!/usr/bin/env bash
# All benchmarks that need a GPU, with one interpreter that has JAX, PyTorch and this package.
#     benchmarks/gpu.sh FOLDER
#     benchmarks/gpu.sh FOLDER --device cpu --shrink 32 --peers ours     # further options of peers/run.py; here a try on a CPU
set -uo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:?name a folder for the results}")
shift
mkdir -p "$folder"
failed=0

measure() { # NAME COMMAND...: one result file; a failure is reported, and the rest continues
    local name=$1 start=$SECONDS
    shift
    if ! "$@" --json "$folder/$name.json" >"$folder/$name.log" 2>&1; then
        echo "$name failed: see $folder/$name.log"
        failed=1
    fi
    echo "$name: $((SECONDS - start)) s"
}

measure engine python3 benchmarks/engine.py
for clients in 64 8000; do
    measure "digest_$clients" python3 benchmarks/digest.py --clients "$clients"
done
measure scaling python3 benchmarks/scaling.py
measure peers python3 benchmarks/peers/run.py --here --device cuda --peers ours torch-loop torch-vmap "$@"
exit "$failed"
