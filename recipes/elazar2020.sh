#!/usr/bin/env bash
usage="The systems of elazar2020 (N. Elazar and T. Dixit: Pruning fine-tuned models on Static Facial Expression In
the Wild dataset).

  recipes/elazar2020.sh DATA OUT [--quick] [--seeds '0 1 2'] [--weights FILE]

  DATA   has sfew/frames (a folder of frames by class)
  OUT    a new folder for faces, checkpoints, runs, report.html, figures
  FILE   a ResNet-18 trained on faces of 64 pixels, with mean 0.5 and deviation 0.25; without it torchvision
         downloads ImageNet's, for 224 pixels

ResNet-18 fine-tuned whole on cropped faces, then pruned: single weights by magnitude and at random, units by
distinctiveness with the published merge, and as many units by reconstruction. Then trained further, from the
pruned weights (continuation) and from the first weights (re-initialization). With the paper's random split, and
with films kept apart. JOBS=2 runs two seeds at once.

Smaller than the paper: with FILE, 12 epochs instead of 50 (4 after pruning). Fractions of 50 and 90 percent (more
with SHARES='0.5 0.9 0.99') and angles of 5, 15 and 30 degrees (ANGLES), re-initialized only at 15. Photos without
a face are used whole; the paper cropped them by hand. --quick: one seed, one split, one epoch, 32 pixels, one
fraction, no random pruning."
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

need sfew/frames
[ -z "$weights" ] || [ -f "$weights" ] || complain "$weights: no such file; see --help"
frames="$data/sfew/frames" faces="$out/faces"
seeds=${seeds:-$(choose '0 1 2' 0)}
epochs=$(choose 50 1) again=$(choose 50 1)
start=(--weights imagenet)
if [ -n "$weights" ]; then
  epochs=$(choose 12 1) again=$(choose 4 1)
  start=(--weights "$weights" --size "$(choose 64 32)" --mean 0.5 --std 0.25)
fi
fractions=${SHARES:-$(choose '0.5 0.9' 0.9)}
angles=${ANGLES:-$(choose '5 15 30' 15)}

whole() { # sections 3.2 and 3.3
  local seed=$1 split=$2 net="$out/whole-$2-$1"
  split_options "$split"
  run emoprune train --keep-paths "$faces" "$net.st" --preset elazar2020-resnet18 "${start[@]}" --epochs "$epochs" \
    ${group[@]+"${group[@]}"} --seed "$seed" --save-init "$net.init" \
    --curve "$net.jsonl" --label "whole, $split split"
  measure "$out/runs-$seed.jsonl" "whole, $split split" "$net.st" "$faces" seed="$seed"
}

# learn SEED PRUNED LABEL: train the pruned network, and measure it
learn() {
  local seed=$1 left=$2 label=$3
  run emoprune train --keep-paths "$faces" "$left.on.st" --preset elazar2020-resnet18 --from "$left.st" --epochs "$again" \
    --seed "$seed" --curve "$left.jsonl" --label "$label"
  measure "$out/runs-$seed.jsonl" "$label" "$left.on.st" "$faces" seed="$seed"
}

single_weights() { # single_weights SEED METHOD SPLIT: tables 2, 4 and 5, figure 1
  local seed=$1 method=$2 split=$3 fraction left net="$out/whole-$3-$1"
  for fraction in $fractions; do
    left="$out/$method-$fraction-$split-$seed"
    run emoprune prune "$net.st" --method "$method" --amount "$fraction" --seed "$seed" --data none \
      "${whatever_it_costs[@]}" -o "$left.st"
    measure "$out/runs-$seed.jsonl" "$method $fraction, at once, $split split" "$left.st" "$faces" seed="$seed"
    learn "$seed" "$left" "$method $fraction, continuation, $split split"
    run emoprune prune "$net.st" --method "$method" --amount "$fraction" --seed "$seed" --data none \
      --rewind "$net.init" -o "$left.init.st"
    learn "$seed" "$left.init" "$method $fraction, re-initialization, $split split"
  done
}

units() { # tables 1 and 3, and as many units by reconstruction
  local seed=$1 split=$2 angle left net="$out/whole-$2-$1" stay name
  # the paper does not center activations; centered on the layer's range, nearly all units are similar
  local rule=(--center none --merge sum --data none "${whatever_it_costs[@]}")
  for angle in $angles; do
    left="$out/distinct-$angle-$split-$seed" name="distinct $angle degrees"
    run emoprune prune "$net.st" --angle "$angle" "${rule[@]}" -o "$left.st" > "$left.json"
    measure "$out/runs-$seed.jsonl" "$name, at once, $split split" "$left.st" "$faces" seed="$seed"
    learn "$seed" "$left" "$name, continuation, $split split"
    if [ "$angle" = 15 ]; then
      run emoprune prune "$net.st" --angle "$angle" "${rule[@]}" --rewind "$net.init" -o "$left.init.st"
      learn "$seed" "$left.init" "$name, re-initialization, $split split"
      stay=$(sed -n 's/.*"units": {"before": [0-9]*, "after": \([0-9]*\)}.*/\1/p' "$left.json")
      run emoprune prune "$net.st" --method reconstruct --units "$stay" "${whatever_it_costs[@]}" \
        -o "$left.reconstruct.st"
      measure "$out/runs-$seed.jsonl" "reconstruct, as many units as at $angle degrees, at once, $split split" \
        "$left.reconstruct.st" "$faces" seed="$seed"
    fi
  done
}

begin
run emoprune crop "$frames" "$faces" --on-missing whole
for split in $splits; do
  each_seed whole "$split"
  each_seed single_weights magnitude "$split"
  each_seed units "$split"
  if [ -n "$quick" ]; then continue; fi
  each_seed single_weights random "$split"
done
figures=(--figure confusion)
report "$here/papers/elazar2020.csv" summary curves
curves_by_split
