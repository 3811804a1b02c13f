#!/usr/bin/env sh
# What a GPU is to show: `sh studies/gpu.sh [folder]`, from the project's root, in an environment whose torch sees the GPU.
# Scoring against the loop, cost and speed of a step of `paper` with and without each option, and the three models on walkers at
# RSTPReid's size. Everything is left in the folder (reports/gpu); the command that was cut off is begun again by the next call.
set -eu
out=${1:-reports/gpu}
python=${PYTHON:-python}
mkdir -p "$out"

"$python" -m bench perf --device cuda --json "$out/perf.json" | tee "$out/perf.txt"

# paper at 224 x 224, random weights: `seconds_per_step` of each line of options, by batch
random='--set model.image.weights=null --set model.text.source=null --set model.text.width=768 --set model.text.layers=12 --set model.text.heads=12'
for batch in 16 128; do
    for option in '' '--precision bf16' '--set train.speed.channels_last=true' '--set train.speed.fused=true' \
        '--set train.speed.compiled=true' '--set train.deterministic=false' \
        '--precision bf16 --set train.speed.channels_last=true --set train.speed.fused=true --set train.deterministic=false'; do
        echo "batch $batch ${option:-as it is}"
        # shellcheck disable=SC2086  # words of options
        "$python" -m bench run --model acsa --dataset walkers --preset paper --device cuda --dry-run $random --batch-size $batch $option
    done
done | tee "$out/steps.txt"

for seed in 0 1 2; do
    for model in acsa region-phrase image-sentence; do
        "$python" -m bench run --model "$model" --dataset walkers --set data.size=rstpreid --device cuda --seed "$seed" --output-dir "$out/results"
    done
done
"$python" -m bench report --results "$out/results" --out "$out/report"
