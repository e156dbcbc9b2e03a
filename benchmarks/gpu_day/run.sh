#!/usr/bin/env bash
# The measurements of one GPU day. In the root of the checkout, with $OUT an empty folder:
#     bash benchmarks/gpu_day/run.sh
# GPU_DAY_STEPS="fit oom"  only these steps, in this order    GPU_DAY_SECONDS=540  for all steps together
# GPU_DAY_SMOKE=1          tiny sizes on the CPU              GPU_DAY_WHEELS=DIR   wheels to install first (default .whl)
set -u
root=$(pwd)
begun=$(date +%s)
seconds=${GPU_DAY_SECONDS:-540}
[ -f "$root/src/vmae_zoo/__init__.py" ] || { echo "run this in the root of the checkout"; exit 2; }
export OUT=${OUT:-/tmp/gpu_day_out}
mkdir -p "$OUT"
wheels=${GPU_DAY_WHEELS:-$root/.whl}
if ls "$wheels"/*.whl >/dev/null 2>&1; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/gpu_day_site "$wheels"/*.whl || exit 3
  export PYTHONPATH=/tmp/gpu_day_site
fi
export PYTHONPATH=$root/src:$root${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export VMAE_ZOO_CACHE=${VMAE_ZOO_CACHE:-/tmp/gpu_day_cache} TORCHINDUCTOR_CACHE_DIR=/tmp/gpu_day_inductor
export VMAE_ZOO_TRACEBACK=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTORCH_ALLOC_CONF=expandable_segments:True
# in order of value, with a limit in seconds for each: most end sooner
plan=(env:40 correct:80 bench:120 bench_compile:130 fit:110 profile:45 attention:40 oom:90 variants:150 raft:35 large:75 cli:75 compile_extra:120)
if [ -n "${GPU_DAY_STEPS:-}" ]; then
  selected=()
  for name in $GPU_DAY_STEPS; do for entry in "${plan[@]}"; do [ "${entry%%:*}" = "$name" ] && selected+=("$entry"); done; done
  plan=("${selected[@]}")
fi
smoke=()
[ "${GPU_DAY_SMOKE:-0}" = 1 ] && smoke=(--smoke)
for entry in "${plan[@]}"; do
  name=${entry%%:*} limit=${entry##*:}
  left=$(( seconds - ($(date +%s) - begun) ))
  [ "${GPU_DAY_SMOKE:-0}" = 1 ] && limit=900
  if [ "$left" -lt 20 ]; then echo "== $name: left out, $left s left" | tee -a "$OUT/log.txt"; continue; fi
  [ "$limit" -gt "$left" ] && limit=$left
  echo "== $name: at second $(( $(date +%s) - begun )), at most $limit s" | tee -a "$OUT/log.txt"
  timeout -k 5 "$limit" python3 -m benchmarks.gpu_day "$name" --limit "$limit" ${smoke[@]+"${smoke[@]}"} 2>&1 | tee -a "$OUT/log.txt"
  rc=${PIPESTATUS[0]}
  echo "{\"step\": \"$name\", \"what\": \"end\", \"rc\": $rc, \"seconds\": $(( $(date +%s) - begun ))}" >> "$OUT/results.jsonl"
done
python3 -m benchmarks.gpu_day summary ${smoke[@]+"${smoke[@]}"} 2>&1 | tee -a "$OUT/log.txt"
rm -rf "$OUT/scratch"
