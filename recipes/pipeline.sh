#!/usr/bin/env bash
# The whole pipeline on photos of your own: crop, train with a frozen backbone, angles, prune at 15 and at
# 30 degrees, evaluate, report, export, evaluate the ONNX file. Three seeds, with a random split and with films
# kept apart. Prints the wall time of every step.
#
#   recipes/pipeline.sh PHOTOS WEIGHTS OUT
#
#   PHOTOS   one folder per class; file names begin with the name of their film and an underscore
#   WEIGHTS  torchvision mobilenet_v2, ImageNet (.safetensors or .pth); "imagenet" downloads them
#   OUT      a new folder; it must not exist yet
set -euo pipefail

photos=${1:?usage: recipes/pipeline.sh PHOTOS WEIGHTS OUT}
weights=${2:?usage: recipes/pipeline.sh PHOTOS WEIGHTS OUT}
out=${3:?usage: recipes/pipeline.sh PHOTOS WEIGHTS OUT}
mkdir "$out"

step() { # echo a command, run it, and print how long it took
  echo "\$ $*" >&2
  local start=$SECONDS
  "$@"
  echo "  $((SECONDS - start)) s" >&2
}

accuracies() { # mean and standard deviation of the accuracy in these metrics files
  emoprune report "$@" --section summary --format csv | awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == "accuracy") column = i; next }
    { sum += $column; squares += $column ^ 2; n++; each = each sprintf(" %.1f%%", 100 * $column) }
    END { mean = sum / n; printf "mean %.1f%%, sd %.1f, runs%s\n", 100 * mean,
          (n > 1 ? 100 * sqrt((squares - n * mean ^ 2) / (n - 1)) : 0), each }'
}

predicted_error() { # mean units left, and mean predicted error of a merge at the next layer, in prune summaries
  local merge=$1
  shift
  sed -n 's/.*"after": \([0-9]*\)}, "compression_rate".*"error_'"$merge"'": \([0-9.e-]*\),.*/\1 \2/p' "$@" | awk '
    { units += $1; error += $2; n++ }
    END { printf "%-34s units left %.0f, error at the next layer %.3f\n", "", units / n, error / n }'
}

step emoprune crop "$photos" "$out/faces"
echo "photos without a face: $(($(wc -l < "$out/faces/failures.csv") - 1)), listed in $out/faces/failures.csv"

for split in random film; do
  group=()
  if [ "$split" = film ]; then group=(--group-by '^[^_]+'); fi
  for seed in 0 1 2; do
    run="$out/$split-$seed"
    step emoprune train "$out/faces" "$run.st" --arch mobilenet_v2 --weights "$weights" --freeze backbone \
      --hidden 200 --activation sigmoid --epochs 50 --split 80/20 ${group[@]+"${group[@]}"} --seed "$seed"
    step emoprune eval "$run.st" "$out/faces" > "$run.json"
    for angle in 15 30; do
      step emoprune prune "$run.st" --method distinct --angle "$angle" -o "$run.$angle.st" |
        tee "$run.$angle.prune"
      step emoprune eval "$run.$angle.st" "$out/faces" > "$run.$angle.json"
      step emoprune prune "$run.st" --method distinct --angle "$angle" --merge sum --max-error 10 -o "$run.$angle.sum.st" |
        tee "$run.$angle.sum.prune"
      step emoprune eval "$run.$angle.sum.st" "$out/faces" > "$run.$angle.sum.json"
    done
  done
done

step emoprune angles "$out/random-0.st" --layer 'classifier.*' --format table
step emoprune export "$out/random-0.30.st" "$out/random-0.30.onnx"
step emoprune eval "$out/random-0.30.onnx" "$out/faces" > "$out/random-0.30.onnx.json"

accuracy() { # of one metrics file
  emoprune report "$1" --section summary --format csv | awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == "accuracy") column = i; next } { print $column }'
}
if [ "$(accuracy "$out/random-0.30.json")" != "$(accuracy "$out/random-0.30.onnx.json")" ]; then
  echo "the ONNX file's accuracy is not the checkpoint's" >&2
  exit 1
fi
emoprune report "$out/random-0.json" "$out/random-0.15.json" "$out/random-0.30.json" \
  "$out/random-0.30.onnx.json" --format table

echo "test accuracy over seeds 0, 1, 2"
for split in random film; do
  for suffix in "" .15 .15.sum .30 .30.sum; do
    printf '%-8s %-24s ' "$split" "${suffix:-unpruned}"
    accuracies "$out/$split"-[012]"$suffix".json
    case $suffix in
      *.sum) predicted_error sum "$out/$split"-[012]"$suffix".prune ;;
      .*) predicted_error lstsq "$out/$split"-[012]"$suffix".prune ;;
    esac
  done
done
