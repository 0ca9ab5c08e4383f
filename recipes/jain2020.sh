#!/usr/bin/env bash
usage="The systems of jain2020 (S. Jain: Network reduction technique based on neuron distinctiveness for
classifying faces-emotion via transfer learning), and the baseline of Dhall et al. 2011.

  recipes/jain2020.sh DATA OUT [--quick] [--seeds '0 1 2'] [--weights FOLDER]

  DATA     has sfew/frames (a folder of frames by class) and sfew/SFEW.xlsx (the published sheet)
  OUT      a new folder for faces, tables, checkpoints, runs, report.html, figures
  FOLDER   ImageNet weights, in files named after torchvision's networks: mobilenet_v2_imagenet.safetensors.
           The recipe uses those it finds of alexnet, vgg13, resnet18, resnet50, resnet152, mobilenet_v2 and
           squeezenet1_1, the first in AlexNet's place. Without FOLDER torchvision downloads the first five.

On the sheet: a feed-forward network of 20 hidden units, and a support vector machine. On cropped faces: conv1,
conv2, and frozen networks with a new head of two dense layers with 50 to 1,000 sigmoid units, pruned at 15
degrees by the published merge and by least squares. Rates, epochs and fractions of training data as in its Table
2. Whole frames, as before its face detector. All with the paper's random split, and with films kept apart. JOBS=2
runs two seeds at once.

Different from the paper: features are computed once, so there is no augmentation; conv1 and conv2 take gray
pictures of 48 pixels. --quick: one seed, one split, few epochs and sizes."
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

need sfew/frames sfew/SFEW.xlsx
frames="$data/sfew/frames" sheet="$data/sfew/SFEW.xlsx" faces="$out/faces"
seeds=${seeds:-$(choose '0 1 2 3 4' 0)}
widths=$(choose '50 100 200 500 1000' '50 200')
epochs=$(choose 50 5)

networks='alexnet vgg13 resnet18 resnet50 resnet152'
if [ -n "$weights" ]; then
  networks=''
  for name in alexnet vgg13 resnet18 resnet50 resnet152 mobilenet_v2 squeezenet1_1; do
    found=("$weights/${name}_imagenet"*)
    if ((${#found[@]})); then networks="$networks $name"; fi
  done
  [ -n "$networks" ] || complain "$weights: holds no file named after a network and imagenet; see --help"
  echo "ImageNet weights found of:$networks" >&2
fi
first=$(set -- $networks && echo "$1")
remark="Networks: $networks."
[ "$first" = alexnet ] || remark="$remark $first stands in for AlexNet."

features() { # features NETWORK FACES TABLE: the input of its head; of AlexNet the paper's 9,216 numbers
  local file=imagenet files=("${weights:-/nowhere}/${1}_imagenet"*)
  if ((${#files[@]})); then file=${files[0]}; fi
  run emoprune features "$2" "$3" --kind backbone --arch "$1" --weights "$file"
}

pruned() { # pruned RUNS LABEL MODEL DATA SETTINGS...: both merges at 15 degrees
  local runs=$1 label=$2 model=$3 from=$4 merge
  shift 4
  for merge in sum lstsq; do
    run emoprune prune "$model" --angle 15 --merge "$merge" "${whatever_it_costs[@]}" -o "${model%.st}.$merge.st"
    measure "$runs" "${label/SPLIT/$merge, }" "${model%.st}.$merge.st" "$from" "$@"
  done
}

on_the_sheet() { # sections 2.1 and 3.1
  local seed=$1 split=$2 runs="$out/runs-$1.jsonl" net="$out/ff-$2-$1.st" svm="$out/svm-$2-$1.st"
  split_options "$split"
  run emoprune train "$sheet" "$net" --preset jain2020-ff --epochs "$(choose 500 20)" \
    ${group[@]+"${group[@]}"} --seed "$seed"
  measure "$runs" "sheet, whole, $split split" "$net" "$sheet" seed="$seed"
  measure "$runs" "sheet, whole, $split split, training part" "$net" "$sheet" seed="$seed" -- --split train
  pruned "$runs" "sheet, pruned by SPLIT$split split" "$net" "$sheet" seed="$seed"
  run emoprune train "$sheet" "$svm" --preset dhall2011-svm ${group[@]+"${group[@]}"} --seed "$seed"
  measure "$runs" "sheet, support vector machine, $split split" "$svm" "$sheet" seed="$seed"
}

unit_by_unit() { # figure 3: accuracy against the units pruned, of the network that on_the_sheet trained
  local seed=$1 split=$2 count net="$out/ff-$2-$1.st" left
  for count in $(choose '2 4 6 8 10 12 14 16' 8); do
    left="${net%.st}.$count.st"
    run emoprune prune "$net" --method progressive --merge sum --units "$((20 - count))" \
      "${whatever_it_costs[@]}" -o "$left"
    measure "$out/runs-$seed.jsonl" "sheet, smallest angles pruned, $split split" "$left" "$sheet" \
      seed="$seed" removed="$count"
  done
}

own_network() { # conv1 or conv2, sections 2.2 and 2.3
  local seed=$1 arch=$2 split=$3 net="$out/$2-$3-$1.st"
  split_options "$split"
  run emoprune train "$faces" "$net" --preset "jain2020-$arch" --gray --epochs "$epochs" \
    ${group[@]+"${group[@]}"} --seed "$seed"
  measure "$out/runs-$seed.jsonl" "$arch, $split split" "$net" "$faces" seed="$seed"
}

swept='' # settings for the x axis of figures, which new_head records

new_head() { # new_head SEED TABLE NAME LABEL SPLIT WIDTH [OPTION ...]: two dense layers on frozen features
  local seed=$1 table="$out/$2.st" net="$out/$3-$5-$1.st" label="$4, $5 split" width=$6
  split_options "$5"
  shift 6
  run emoprune train "$table" "$net" --arch mlp --hidden "$width" --activation sigmoid --scale none \
    --lr 0.001 --epochs "$epochs" ${group[@]+"${group[@]}"} "$@" --seed "$seed"
  measure "$out/runs-$seed.jsonl" "$label" "$net" "$table" seed="$seed" $swept
}

widths_of_head() { # figures 4 to 6, tables 4 and 5; before and after pruning for the random split only
  local seed=$1 split=$2 width swept before='' after='' table="$out/$first.st"
  if [ "$split" = random ]; then before='pruned=0' after='pruned=1'; fi
  for width in $widths; do
    swept="hidden=$width $before"
    new_head "$seed" "$first" "frozen-$width" "frozen, whole" "$split" "$width"
    pruned "$out/runs-$seed.jsonl" "frozen, pruned by SPLIT$split split" "$out/frozen-$width-$split-$seed.st" \
      "$table" seed="$seed" hidden="$width" $after
  done
}

rates_and_epochs() { # table 2
  local seed=$1 split=$2 shares rate count epochs
  for shares in 70/30 80/20; do
    for rate in 0.001 0.002 0.003; do
      for count in 30 50 80; do
        epochs=$count new_head "$seed" "$first" "frozen-${shares%/*}-$rate-$count" \
          "frozen, split $shares, rate $rate, $count epochs" "$split" 200 --split "$shares" --lr "$rate"
      done
    done
  done
}

begin
run emoprune crop "$frames" "$faces" --on-missing whole
for network in $networks; do features "$network" "$faces" "$out/$network.st"; done
if [ -z "$quick" ]; then features "$first" "$frames" "$out/frames.st"; fi
for split in $splits; do
  each_seed on_the_sheet "$split"
  each_seed unit_by_unit "$split"
  each_seed widths_of_head "$split"
  if [ -n "$quick" ]; then continue; fi
  each_seed new_head frames frames "before the face detector" "$split" 200
  for network in $networks; do
    [ "$network" = "$first" ] || each_seed new_head "$network" "$network" "frozen $network" "$split" 200
  done
  for arch in conv1 conv2; do each_seed own_network "$arch" "$split"; done
  each_seed rates_and_epochs "$split"
done
report "$here/papers/jain2020.csv"
