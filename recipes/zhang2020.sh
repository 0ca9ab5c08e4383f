#!/usr/bin/env bash
usage="The systems of zhang2020 (H. Zhang: The pruning methods for convolutional neural networks based on SFEW
database).

  recipes/zhang2020.sh DATA OUT [--quick] [--seeds '0 1 2']

  DATA   has sfew/frames (a folder of frames by class)
  OUT    a new folder for checkpoints, runs, report.html, figures

The modified AlexNet and VGG on whole frames, ten epochs. Their dense layer of 100 units is pruned at 15, 10 and 5
degrees by the published merge, and at 15 degrees by least squares. Rates and batch sizes of the VGG as in its
Table 1. With the paper's random split, and with films kept apart. JOBS=2 runs two seeds at once.

Smaller than the paper: frames of 320x400 for the AlexNet and 128x160 for the VGG. The paper's 576x720 take hours on
two cores (SIZE=576x720). Table 1 only for the VGG. --quick: one seed, one split, two epochs of the VGG, its first
two dense layers narrower."
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

need sfew/frames
frames="$data/sfew/frames"
seeds=${seeds:-$(choose '0 1 2' 0)}
epochs=$(choose 10 2)

train() { # train SEED NETWORK SPLIT NAME LABEL [OPTION ...]
  local seed=$1 network=$2 split=$3 net="$out/$4-$1.st" label=$5 size narrow=()
  shift 5
  size=${SIZE:-$(if [ "$network" = alexnet ]; then echo 320x400; else echo 128x160; fi)}
  split_options "$split"
  # the statistics of 5,120 units take longer than two epochs
  [ -z "$quick" ] || narrow=(--hidden 200 --hidden 150 --hidden 100)
  run emoprune train "$frames" "$net" --preset "zhang2020-$network" --size "$size" --epochs "$epochs" \
    ${group[@]+"${group[@]}"} ${narrow[@]+"${narrow[@]}"} --seed "$seed" "$@"
  measure_both "$seed" "$net" "$label"
}

measure_both() { # measure_both SEED NET LABEL: on the test part and on the training part
  measure "$out/runs-$1.jsonl" "$3" "$2" "$frames" seed="$1" angle=0
  measure "$out/runs-$1.jsonl" "$3, training part" "$2" "$frames" seed="$1" -- --split train
}

prune() { # prune SEED NAME LABEL: Table 4
  local seed=$1 net="$out/$2-$1.st" label=$3 angle merge left
  for angle in 15 10 5; do
    for merge in sum lstsq; do
      if [ "$merge" = lstsq ] && [ "$angle" != 15 ]; then continue; fi
      left="${net%.st}.$merge.$angle.st"
      run emoprune prune "$net" --layer classifier.hidden3 --angle "$angle" --merge "$merge" \
        "${whatever_it_costs[@]}" -o "$left"
      measure "$out/runs-$seed.jsonl" "$label, $merge at $angle degrees" "$left" "$frames" seed="$seed" angle="$angle"
    done
  done
}

both() { # both SEED NETWORK SPLIT
  train "$1" "$2" "$3" "$2-$3" "$2, $3 split"
  prune "$1" "$2-$3" "$2, $3 split"
}

rates_and_batches() { # Table 1; its last line is the network that `both` trained
  local seed=$1 split=$2 rate batch label
  for rate in 0.0005 0.001; do
    for batch in 64 128; do
      label="vgg, rate $rate, batch $batch, $split split"
      if [ "$rate $batch" = "0.001 128" ]; then
        measure_both "$seed" "$out/vgg-$split-$seed.st" "$label"
      else
        train "$seed" vgg "$split" "vgg-$rate-$batch-$split" "$label" --lr "$rate" --batch-size "$batch"
      fi
    done
  done
}

begin
for split in $splits; do
  each_seed both vgg "$split"
  if [ -n "$quick" ]; then continue; fi
  each_seed both alexnet "$split"
  each_seed rates_and_batches "$split"
done
report "$here/papers/zhang2020.csv"
