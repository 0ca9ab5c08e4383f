# What the recipes share: their arguments, echoed commands, labelled runs, and the report at the end.
# A recipe sets `usage` and sources this with its own arguments.
set -euo pipefail
shopt -s nullglob

data='' out='' quick='' weights='' seeds='' jobs=${JOBS:-1}

complain() {
  echo "${0##*/}: $1" >&2
  exit "${2:-1}"
}

while (($#)); do
  case $1 in
    -h | --help) echo "$usage" && exit 0 ;;
    --quick) quick=1 ;;
    --weights) weights=${2:?--weights needs a path} && shift ;;
    --seeds) seeds=${2:?--seeds needs numbers, as '0 1 2'} && shift ;;
    -*) complain "unknown option $1; see --help" 2 ;;
    *) if [ -z "$data" ]; then data=$1; elif [ -z "$out" ]; then out=$1; else complain "too many arguments; see --help" 2; fi ;;
  esac
  shift
done
if [ -z "$data" ] || [ -z "$out" ]; then echo "$usage" >&2 && exit 2; fi
[ -d "$data" ] || complain "$data: no such folder; give one laid out as --help says"
mkdir "$out" || complain "$out is there already or cannot be made; name a new folder"
films='^[^_-]+' # what stands before the first underscore (or, of one, hyphen) of an SFEW name

need() { # what a recipe reads of the data folder
  local path
  for path in "$@"; do
    [ -e "$data/$path" ] || complain "$data/$path: not there; see --help for how the data is laid out"
  done
}

choose() { # choose FULL QUICK: the one or the other
  if [ -n "$quick" ]; then echo "$2"; else echo "$1"; fi
}

run() { # a command, echoed
  echo "\$ $*" >&2
  "$@"
}

measure() { # measure RUNS LABEL MODEL DATA [KEY=VALUE ...] [-- OPTION ...]: one labelled line of metrics
  local runs=$1 label=$2 model=$3 from=$4 more=()
  shift 4
  while (($#)) && [ "$1" != -- ]; do more+=(--set "$1") && shift; done
  if (($#)); then shift; fi
  run emoprune eval "$model" "$from" --label "$label" ${more[@]+"${more[@]}"} "$@" >> "$runs"
}

each_seed() { # each_seed FUNCTION [ARGUMENT ...]: FUNCTION SEED ARGUMENT ..., $jobs of them at once
  local seed pids=() what=$1
  shift
  for seed in $seeds; do
    "$what" "$seed" "$@" &
    pids+=($!)
    if ((${#pids[@]} >= jobs)); then wait "${pids[0]}" && pids=("${pids[@]:1}"); fi
  done
  for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid"; done
}

figures=() # --figure NAME ... where not all are wanted of all runs together

report() { # report PAPER [SECTION ...]: tables beside the paper's and figures, from all runs; SECTIONs on screen
  local paper=$1 section
  shift
  run emoprune report "$out"/*.jsonl --by-label --paper "$paper" --figures "$out/figures" \
    ${figures[@]+"${figures[@]}"} --format markdown > "$out/report.md"
  for section in "${@:-summary}"; do
    emoprune report "$out"/*.jsonl --by-label --paper "$paper" --section "$section" --format table
  done
  echo "all tables: $out/report.md; figures and their numbers: $out/figures" >&2
}
