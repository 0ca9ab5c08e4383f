#!/usr/bin/env bash
usage="The systems of wright2019 (G. Wright, W. Tay, N. Juthaprachakul and Y. Xia: Neural networks for
classification of facial expressions).

  recipes/wright2019.sh DATA OUT [--quick] [--seeds '0 1 2']

  DATA   has fer2013 (folders train and val, maybe test, of faces by class) or fer2013.csv (as published)
  OUT    a new folder for checkpoints, runs, report.html, figures

The sanity check on 50 samples, the search for hyper-parameters from coarse to fine, the feed-forward network
with two layers of 1,000 units, and the convolutional network. Evaluated on the test part if there is one, else on
the validation part: with the data's own split, and with its training part alone split 80/10/10, near-duplicates
together. JOBS=2 runs two seeds at once.

Different from the paper: the sanity check uses these faces instead of CIFAR-10, at a constant rate of 0.01 for 60
epochs. Smaller than the paper: 8 of the 50 epochs of the convolutional network, at a rate of 0.01; 10 epochs of the
feed-forward network, which the paper leaves open; 12 trials of the search, the fine ones with 4 epochs. --quick:
one seed, one split, one epoch, narrow networks, four trials."
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

faces="$data/fer2013"
[ -e "$faces" ] || faces="$data/fer2013.csv"
[ -e "$faces" ] || complain "$data/fer2013: not found, nor fer2013.csv; see --help"
seeds=${seeds:-$(choose '0 1 2' 0)}
training="$faces:train"
if [ -f "$faces" ]; then
  head -n 1 "$faces" | grep -qi usage || complain "$faces: has no column Usage; take the file as published"
fi
widths=(--hidden "$(choose 1000 20)" --hidden "$(choose 1000 20)")

sanity() { # section 4.1
  run emoprune train "$faces" "$out/sanity.st" --preset wright2019-ff --hidden 40 --hidden 40 --overfit 50 \
    --batch-size 20 --momentum 0.9 --lr 0.01 --lr-decay 0 --epochs "$(choose 60 2)" \
    --curve "$out/sanity.jsonl" --label "sanity check on 50 samples"
}

search() { # section 5.1
  run emoprune search "$faces" --preset wright2019-ff --space lr=log:1e-4:1e-1 --space momentum=0.5:0.95 \
    --space hidden="$(choose 250,500,1000 10,20)" --space layers=int:1:2 --sampler coarse-to-fine \
    --trials "$(choose 12 4)" --coarse-epochs 1 --fine-epochs "$(choose 4 1)" --set batch_size=64 \
    --storage "$out/search.journal" -o "$out/search.json" > /dev/null
}

learn() { # learn SEED NAME PRESET LABEL DATA [OPTION ...]: train, keep the best epoch, measure it
  local seed=$1 net="$out/$2-$1" preset=$3 label=$4 from=$5
  shift 5
  run emoprune train "$from" "$net.st" --preset "$preset" --keep best --seed "$seed" "$@" \
    --curve "$net.jsonl" --label "$label"
  measure "$out/runs-$seed.jsonl" "$label" "$net.st" "$from" seed="$seed"
}

both() { # both SEED NAME LABEL DATA [OPTION ...]: sections 5.2 and 6
  local seed=$1 name=$2 label=$3 from=$4
  shift 4
  learn "$seed" "ff$name" wright2019-ff "feed-forward$label" "$from" "${widths[@]}" --epochs "$(choose 10 1)" "$@"
  learn "$seed" "cnn$name" wright2019-cnn "convolutional$label" "$from" --lr 0.01 \
    --hidden "$(choose 1024 20)" --hidden "$(choose 1024 20)" --epochs "$(choose 8 1)" "$@"
}

begin
sanity
search
each_seed both '' '' "$faces"
if [ -z "$quick" ]; then
  each_seed both -together ', near-duplicates together' "$training" --split 80/10/10 --split-by duplicates
fi
report "$here/papers/wright2019.csv" summary curves
