#!/usr/bin/env bash
usage="What pruning a network costs, as one page.

  recipes/evidence.sh DATA OUT [--quick] [--weights FILE]

  DATA   train/ and val/, each with a folder of faces per class
  OUT    a new folder for checkpoints, predictions, records, evidence.html
  FILE   weights of torchvision's resnet18 for the classes of DATA; without it, one is trained

A ResNet-18 at 64 pixels learns from train, and its last epoch is kept: nothing is chosen on val. Three methods, two
merges and four budgets are compared on val. Four networks that are named beforehand are compared with the whole one
image by image: half and a quarter of the multiply-accumulates by reconstruct, the quarter healed for two epochs with
the whole network as its teacher, and the published rule at 15 degrees.

--quick: two epochs of a small network, and two budgets. JOBS=2 prunes in two processes."
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

need train val
begin
model="$out/whole.st" curve=(--curve "$out/curve.jsonl" --label whole)
if [ -n "$quick" ]; then
  network=(--arch conv2 --size 48 --gray --keep last --epochs 2 "${curve[@]}")
else
  network=(--arch resnet18 --size 64 --mean 0.5 --std 0.25)
  if [ -n "$weights" ]; then
    network+=(--weights "$weights" --epochs 0)
  else
    network+=(--weights none --recipe modern --keep last --batch-size 64 --epochs 30 "${curve[@]}")
  fi
fi
run emoprune train "$data" "$model" "${network[@]}"

half="$out/half.st" quarter="$out/quarter.st" healed="$out/healed.st" rule="$out/rule.st"
run emoprune sweep "$model" "$data" --methods distinct,importance,reconstruct --merge sum,lstsq \
  --macs "$(choose 0.75,0.5,0.25,0.125 0.5,0.25)" --jobs "$jobs" -o "$out/sweep.jsonl" > /dev/null

record() { # record PRUNED OPTION ...: prune, and keep the record of it
  local made=$1
  shift
  run emoprune prune "$model" -o "$made" "$@" >> "$out/prunings.jsonl"
}
record "$half" --method reconstruct --macs 0.5 --data "$data"
record "$quarter" --method reconstruct --macs 0.25 --data "$data"
record "$rule" --method distinct --angle 15 --merge sum "${whatever_it_costs[@]}"
run emoprune train "$data" "$healed" --from "$quarter" --teacher "$model" --recipe heal --epochs "$(choose 2 1)"
run emoprune angles "$model" > "$out/angles.jsonl"

# the sweep has measured the whole network, half and a quarter
for name in whole half quarter healed rule; do
  run emoprune eval "$out/$name.st" "$data" --split val --label "$name" --predictions "$out/$name.csv" > "$out/$name.json"
done
compared=("$out"/{half,quarter,healed,rule}.csv --baseline "$out/whole.csv" --margin 1.5)
run emoprune report "$out"/*.jsonl "$out"/{healed,rule}.json "${compared[@]}" -o "$out/evidence.html" \
  --title "What pruning a ${network[1]} costs" --note "$(note)"
emoprune report "${compared[@]}" --section verdicts --format table
