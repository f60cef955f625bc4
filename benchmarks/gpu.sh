#!/usr/bin/env bash
# All benchmarks of a machine with one GPU; needs PyTorch beside this package. About five minutes on an H100.
#     benchmarks/gpu.sh FOLDER
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:?name a folder for the results}
mkdir -p "$folder"

measure() { # NAME COMMAND...: one result file; a failure is said, and the rest goes on
    local name=$1 start=$SECONDS
    shift
    "$@" --json "$folder/$name.json" >"$folder/$name.log" 2>&1 || echo "$name failed: see $folder/$name.log"
    echo "$name: $((SECONDS - start)) s"
}

peers=(64x10x32 1000x1x16 cifar10)
for protocol in "${peers[@]}"; do
    measure "ours-$protocol" python3 benchmarks/peers/ours.py --device cuda --protocol "$protocol" --tune
    measure "vmap-$protocol" timeout 60 python3 benchmarks/peers/torch_peer.py --how vmap --device cuda \
        --protocol "$protocol" --tune
done
measure engine python3 benchmarks/engine.py
for clients in 64 8000; do
    measure "digest-$clients" python3 benchmarks/digest.py --clients "$clients"
done
measure scaling python3 benchmarks/scaling.py --clients 10 100 1000 10000 --hidden 256
for protocol in "${peers[@]}"; do
    measure "loop-$protocol" timeout 60 python3 benchmarks/peers/torch_peer.py --how loop --device cuda \
        --protocol "$protocol" --rounds 3 --tune
done
