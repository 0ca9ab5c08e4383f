#!/usr/bin/env bash
usage="The systems of jain2020 (S. Jain: Network reduction technique based on neuron distinctiveness for
classifying faces-emotion via transfer learning), and the baseline of Dhall et al. 2011.

  recipes/jain2020.sh DATA OUT [--quick] [--seeds '0 1 2'] [--weights FOLDER]

  DATA     sfew/frames (a folder of frames by class) and sfew/SFEW.xlsx (the published sheet)
  OUT      a folder to make: faces, tables, checkpoints, runs, report.md, figures
  FOLDER   ImageNet weights, files named after torchvision's networks, as mobilenet_v2_imagenet.safetensors;
           of alexnet, vgg13, resnet18, resnet50, resnet152, mobilenet_v2 and squeezenet1_1 those that are
           there are used, the first in AlexNet's place. Without it torchvision fetches the first five.

On the sheet: a feed-forward network of 20 hidden units and a support vector machine. On cropped faces: conv1,
conv2, and frozen networks with a new head of two dense layers, with 50 to 1,000 sigmoid units, pruned at 15
degrees by the published merge and by least squares; rates, epochs and shares of training data as in its
Table 2; whole frames as before its face detector. With the paper's random split and with films kept apart.
JOBS=2 runs two seeds at once.

Other than in the paper: features are computed once, hence without augmentation; conv1 and conv2 see grey
pictures of 48 pixels. --quick: one seed, few epochs and sizes."
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
  echo "ImageNet weights are here of:$networks" >&2
fi
first=$(set -- $networks && echo "$1")

features() { # features NETWORK FACES TABLE: what its head reads, so of AlexNet the paper's 9,216 numbers
  local file=imagenet files=("${weights:-/nowhere}/${1}_imagenet"*)
  if ((${#files[@]})); then file=${files[0]}; fi
  run emoprune features "$2" "$3" --kind backbone --arch "$1" --weights "$file"
}

pruned() { # pruned RUNS LABEL MODEL DATA SETTINGS...: both merges at 15 degrees
  local runs=$1 label=$2 model=$3 from=$4 merge
  shift 4
  for merge in sum lstsq; do
    run emoprune prune "$model" --angle 15 --merge "$merge" -o "${model%.st}.$merge.st"
    measure "$runs" "${label/SPLIT/$merge, }" "${model%.st}.$merge.st" "$from" "$@"
  done
}

on_the_sheet() { # sections 2.1 and 3.1
  local seed=$1 split=$2 group=() runs="$out/runs-$1.jsonl" net="$out/ff-$2-$1.st" svm="$out/svm-$2-$1.st"
  [ "$split" = random ] || group=(--group-by "$films")
  run emoprune train "$sheet" "$net" --preset jain2020-ff --epochs "$(choose 500 20)" \
    ${group[@]+"${group[@]}"} --seed "$seed"
  measure "$runs" "sheet, whole, $split split" "$net" "$sheet" seed="$seed"
  measure "$runs" "sheet, whole, $split split, training part" "$net" "$sheet" seed="$seed" -- --split train
  pruned "$runs" "sheet, pruned by SPLIT$split split" "$net" "$sheet" seed="$seed"
  run emoprune train "$sheet" "$svm" --preset dhall2011-svm ${group[@]+"${group[@]}"} --seed "$seed"
  measure "$runs" "sheet, support vector machine, $split split" "$svm" "$sheet" seed="$seed"
}

unit_by_unit() { # figure 3: accuracy against the units pruned, of the network that on_the_sheet trained
  local seed=$1 count net="$out/ff-random-$1.st" left
  for count in $(choose '2 4 6 8 10 12 14 16' 8); do
    left="${net%.st}.$count.st"
    run emoprune prune "$net" --method progressive --merge sum --units "$((20 - count))" -o "$left"
    measure "$out/runs-$seed.jsonl" "sheet, smallest angles pruned" "$left" "$sheet" \
      seed="$seed" pruned="$count"
  done
}

own_network() { # conv1 or conv2, sections 2.2 and 2.3
  local seed=$1 arch=$2 net="$out/$2-$1.st"
  run emoprune train "$faces" "$net" --preset "jain2020-$arch" --gray --epochs "$epochs" --seed "$seed"
  measure "$out/runs-$seed.jsonl" "$arch, random split" "$net" "$faces" seed="$seed"
}

swept='' # settings that figures are drawn over, of those networks that belong in them

new_head() { # new_head SEED NETWORK LABEL WIDTH NAME [OPTION ...]: two dense layers on frozen features
  local seed=$1 network=$2 label=$3 width=$4 net="$out/$5-$1.st"
  shift 5
  run emoprune train "$out/$network.st" "$net" --arch mlp --hidden "$width" --activation sigmoid --scale none \
    --lr 0.001 --epochs "$epochs" "$@" --seed "$seed"
  measure "$out/runs-$seed.jsonl" "$label" "$net" "$out/$network.st" seed="$seed" $swept
}

widths_of_head() { # figures 4 to 6, tables 4 and 5
  local seed=$1 width swept
  for width in $widths; do
    swept="hidden=$width pruned=0"
    new_head "$seed" "$first" "frozen, whole, random split" "$width" "frozen-$width" --split 80/20
    pruned "$out/runs-$seed.jsonl" "frozen, pruned by SPLITrandom split" "$out/frozen-$width-$seed.st" \
      "$out/$first.st" seed="$seed" hidden="$width" pruned=1
  done
}

films_apart() { # 200 units, once more
  local seed=$1
  new_head "$seed" "$first" "frozen, 200 units, whole, film split" 200 frozen-film --group-by "$films"
  pruned "$out/runs-$seed.jsonl" "frozen, 200 units, pruned by SPLITfilm split" "$out/frozen-film-$seed.st" \
    "$out/$first.st" seed="$seed"
}

rates_and_epochs() { # table 2
  local seed=$1 split rate count epochs
  for split in 70/30 80/20; do
    for rate in 0.001 0.002 0.003; do
      for count in 30 50 80; do
        epochs=$count new_head "$seed" "$first" "frozen, split $split, rate $rate, $count epochs" 200 \
          "frozen-${split%/*}-$rate-$count" --split "$split" --lr "$rate"
      done
    done
  done
}

begin
run emoprune crop "$frames" "$faces" --on-missing whole
for network in $networks; do features "$network" "$faces" "$out/$network.st"; done
for split in $(choose 'random film' random); do each_seed on_the_sheet "$split"; done
each_seed unit_by_unit
each_seed widths_of_head
if [ -z "$quick" ]; then
  each_seed films_apart
  features "$first" "$frames" "$out/frames.st"
  each_seed new_head frames "before the face detector" 200 frames
  for network in $networks; do
    if [ "$network" != "$first" ]; then each_seed new_head "$network" "frozen $network, random split" 200 "$network"; fi
  done
  for arch in conv1 conv2; do each_seed own_network "$arch"; done
  each_seed rates_and_epochs
fi
report "$here/papers/jain2020.csv"
