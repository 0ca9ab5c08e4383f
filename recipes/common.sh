# What the recipes share: their arguments, echoed commands, labeled runs, and the report at the end.
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
    --weights | --seeds)
      # of the options that take a value, a recipe has those that its usage names
      case $usage in *"$1 "*) ;; *) complain "unknown option $1; see --help" 2 ;; esac
      [ -n "${2-}" ] || complain "$1 needs a value; see --help" 2
      if [ "$1" = --weights ]; then weights=$2; else seeds=$2; fi
      shift
      ;;
    -*) complain "unknown option $1; see --help" 2 ;;
    *) if [ -z "$data" ]; then data=$1; elif [ -z "$out" ]; then out=$1; else complain "too many arguments; see --help" 2; fi ;;
  esac
  shift
done
if [ -z "$data" ] || [ -z "$out" ]; then echo "$usage" >&2 && exit 2; fi
[ -d "$data" ] || complain "$data: no such folder; give one laid out as --help says"
[ ! -e "$out" ] || complain "$out: there already; name a new folder"
command -v emoprune > /dev/null || complain "emoprune: no such command; activate the environment that has it"

group=() # the options of a command that splits
split_options() { # split_options SPLIT: in `group`, those of a random split, or of one that keeps films apart
  group=()
  # a film is what stands before the first underscore (or, of one, hyphen) of an SFEW name
  [ "$1" = random ] || group=(--group-by '^[^_-]+')
}

need() { # what a recipe reads of the data folder
  local path
  for path in "$@"; do
    [ -e "$data/$path" ] || complain "$data/$path: not there; see --help for how the data is laid out"
  done
}

begin() { # once all that the recipe needs is there: a folder that stays behind would stand in the way
  mkdir "$out" || complain "$out: cannot be made; name a new folder in one that is there"
}

choose() { # choose FULL QUICK: the one or the other
  if [ -n "$quick" ]; then echo "$2"; else echo "$1"; fi
}

splits=$(choose 'random film' random)

run() { # a command, echoed
  echo "\$ $*" >&2
  "$@"
}

measure() { # measure RUNS LABEL MODEL DATA [KEY=VALUE ...] [-- OPTION ...]: one labeled line of metrics
  local runs=$1 label=$2 model=$3 from=$4 more=()
  shift 4
  while (($#)) && [ "$1" != -- ]; do more+=(--set "$1") && shift; done
  if (($#)); then shift; fi
  run emoprune eval "$model" "$from" --label "$label" ${more[@]+"${more[@]}"} "$@" >> "$runs"
}

pids=()
stop() { # what still runs, with all that it has started
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill -- "-$pid" 2> /dev/null || true; done
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

each_seed() { # each_seed FUNCTION [ARGUMENT ...]: FUNCTION SEED ARGUMENT ..., $jobs of them at once
  local seed what=$1
  shift
  for seed in $seeds; do
    # a process group each: without, what runs in the background does not hear of Ctrl-C, nor can it be stopped
    set -m
    "$what" "$seed" "$@" &
    set +m
    pids+=($!)
    if ((${#pids[@]} >= jobs)); then next_ended; fi
  done
  while ((${#pids[@]})); do next_ended; done
}

next_ended() { # wait for the oldest; a seed that fails ends the recipe
  wait "${pids[0]}"
  pids=("${pids[@]:1}")
}

curves_by_split() { # a figure of learning curves for each split, of files named NAME-SPLIT-SEED.jsonl
  local split
  for split in $splits; do
    run emoprune report "$out"/*-"$split"-*.jsonl --figures "$out/figures/$split" --figure curves > /dev/null
  done
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
