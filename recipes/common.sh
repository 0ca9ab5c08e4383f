# Shared by the recipes: arguments, echoed commands, labeled runs, and the report at the end.
# A recipe sets `usage` and sources this file with its own arguments.
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
      # a recipe has only those of the two that its usage names
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
[ ! -e "$out" ] || complain "$out: exists already; name a new folder"
command -v emoprune > /dev/null || complain "emoprune: command not found; activate the environment that has it"

group=() # split options of a command
split_options() { # split_options SPLIT: set `group` for a random split, or for one that keeps films apart
  group=()
  # the film of an SFEW name ends at the first underscore or, in one name, hyphen
  [ "$1" = random ] || group=(--group-by '^[^_-]+')
}

need() { # need PATH ...: these must be in the data folder
  local path
  for path in "$@"; do
    [ -e "$data/$path" ] || complain "$data/$path: not found; see --help for the layout of the data"
  done
}

begin() { # after all checks, so that a recipe that cannot run leaves no folder behind
  mkdir "$out" || complain "$out: cannot be made; name a new folder in an existing one"
}

choose() { # choose FULL QUICK: FULL or, with --quick, QUICK
  if [ -n "$quick" ]; then echo "$2"; else echo "$1"; fi
}

splits=$(choose 'random film' random)

run() { # run COMMAND ...: echo and run it
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
stop() { # end all jobs, with the processes that they started
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill -- "-$pid" 2> /dev/null || true; done
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

each_seed() { # each_seed FUNCTION [ARGUMENT ...]: run FUNCTION SEED ARGUMENT ..., $jobs at once
  local seed what=$1
  shift
  for seed in $seeds; do
    # one process group per job: otherwise Ctrl-C does not reach it, and it cannot be stopped
    set -m
    "$what" "$seed" "$@" &
    set +m
    pids+=($!)
    if ((${#pids[@]} >= jobs)); then next_ended; fi
  done
  while ((${#pids[@]})); do next_ended; done
}

next_ended() { # wait for the oldest job; a seed that fails ends the recipe
  wait "${pids[0]}"
  pids=("${pids[@]:1}")
}

curves_by_split() { # learning curves of each split, from files named NAME-SPLIT-SEED.jsonl
  local split
  for split in $splits; do
    run emoprune report "$out"/*-"$split"-*.jsonl --figures "$out/figures/$split" --figure curves > /dev/null
  done
}

whatever_it_costs=(--max-error 1000) # the papers do not predict the error of a removal

figures=() # --figure NAME ..., to draw only these

remark='' # what stood in for what, in this run

note() { # what a page is of: the command, the remark, and all of the usage but how to call it
  local command="recipes/${0##*/} DATA OUT${quick:+ --quick}${seeds:+ --seeds '$seeds'}"
  printf '%s\n\n' "Made by $command${weights:+ --weights ${weights##*/}}.${remark:+ $remark}"
  awk -v RS= -v ORS='\n\n' 'NR == 1 || NR > 3' <<< "$usage"
}

report() { # report PAPER [SECTION ...]: a page of tables beside the paper's; figures as files; SECTIONs on screen
  local paper=$1 section
  shift
  run emoprune report "$out"/*.jsonl --by-label --paper "$paper" --figures "$out/figures" \
    ${figures[@]+"${figures[@]}"} -o "$out/report.html" --title "${usage%% (*}" --note "$(note)"
  for section in "${@:-summary}"; do
    emoprune report "$out"/*.jsonl --by-label --paper "$paper" --section "$section" --format table
  done
  echo "all tables and figures: $out/report.html; figures and their numbers: $out/figures" >&2
}
