#!/usr/bin/env bash
usage="The systems of luan2020 (T. Luan: Facial expression classification and progressive image compression
technology application based on SFEW database).

  recipes/luan2020.sh DATA OUT [--quick] [--seeds '0 1 2']

  DATA   has sfew/frames (a folder of frames by class) and sfew/SFEW.xlsx or sfew/SFEW.csv (the published sheet)
  OUT    a new folder for checkpoints, runs, report.html, figures

Two systems. The compression network 11-10-11 on the sheet: its hidden units are pruned one by one, the smallest
angle first, by the published merge and by least squares. The LeNet on gray frames of 90x72, with its four
combinations of channels: kernels of the first combination are pruned by importance. Each with the paper's random
split, and with films kept apart. JOBS=2 runs two seeds at once.

Smaller than the paper: the LeNet trains for 40 epochs with batches of 32 at a rate of 0.001, which reaches the
training loss of the paper's 700 epochs; three seeds instead of five. --quick: one seed, one split, one
combination, 300 and 3 epochs."
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

need sfew/frames
frames="$data/sfew/frames"
sheet="$data/sfew/SFEW.xlsx"
[ -e "$sheet" ] || sheet="$data/sfew/SFEW.csv"
[ -e "$sheet" ] || complain "$data/sfew/SFEW.xlsx: not found, nor SFEW.csv; see --help"
seeds=${seeds:-$(choose '0 1 2' 0)}

compression() { # sections 2.1 and 3.1
  local seed=$1 split=$2 model="$out/compression-$2-$1.st" merge
  split_options "$split"
  run emoprune train --keep-paths "$sheet" "$model" --preset luan2020-autoencoder --epochs "$(choose 3000 300)" \
    ${group[@]+"${group[@]}"} --seed "$seed"
  for merge in sum lstsq; do
    run emoprune prune "$model" --method progressive --merge "$merge" --steps --units 2 \
      --label "compression, $merge, $split split" >> "$out/steps-compression-$seed.jsonl"
  done
}

lenet() { # sections 2.2 and 3.2
  local seed=$1 split=$2 number=$3 first=$4 second=$5
  local name="LeNet, combination $number, $split split" model="$out/lenet-$number-$split-$seed.st"
  split_options "$split"
  run emoprune train --keep-paths "$frames" "$model" --preset luan2020-lenet --channels "$first" --channels "$second" \
    --epochs "$(choose 40 3)" --lr 0.001 --batch-size 32 ${group[@]+"${group[@]}"} --seed "$seed" \
    --curve "$out/curve-$number-$split-$seed.jsonl" --label "$name"
  measure "$out/runs-$seed.jsonl" "$name" "$model" "$frames" seed="$seed"
  measure "$out/runs-$seed.jsonl" "$name, training part" "$model" "$frames" seed="$seed" -- --split train
}

importance() { # sections 2.3 and 3.3, on the network that lenet trained
  local seed=$1 split=$2 whole="$out/lenet-1-$2-$1.st"
  local left="${whole%.st}.importance.st" label="LeNet, kernels pruned, $split split"
  run emoprune prune "$whole" --method importance --merge sum --layer features.0 --steps --units 12 \
    --label "$label" >> "$out/steps-kernels-$seed.jsonl"
  run emoprune prune "$whole" --method importance --merge sum --layer features.0 --max-loss-increase 0.1 \
    -o "$left"
  measure "$out/runs-$seed.jsonl" "$label" "$left" "$frames" seed="$seed"
  measure "$out/runs-$seed.jsonl" "$label, training part" "$left" "$frames" seed="$seed" -- --split train
}

begin
for split in $splits; do
  each_seed compression "$split"
  each_seed lenet "$split" 1 16 32
  each_seed importance "$split"
  if [ -n "$quick" ]; then continue; fi
  each_seed lenet "$split" 2 12 24
  each_seed lenet "$split" 3 20 40
  each_seed lenet "$split" 4 6 12
done
figures=(--figure confusion)
report "$here/papers/luan2020.csv" summary steps
curves_by_split
for system in compression kernels; do
  run emoprune report "$out/steps-$system"-*.jsonl --by-label --figures "$out/figures/$system" > /dev/null
done
