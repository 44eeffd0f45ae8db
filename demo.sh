#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job on real input: installs what is missing, builds, fetches a pretrained BERT, makes labelled pairs from the Debian
# package index, and lets `muster run` fine-tune, sweep, tune, publish on two MPI ranks. About ten minutes on 2 cores. --tags: many labels a row;
# --zoo: LoRA, with and without a field, on one frozen split; --documents: long texts; --serve: the demo's bundle behind HTTP, under load;
# --gpu: the job on this machine's GPU, by a build with CUDA (tools/cuda.sh fetches it where it is not installed). Without a GPU: one line, exit code 1.
set -euo pipefail
cd "$(dirname "$0")"
. tools/install.sh

case "${1:-}" in
  "" | --tags | --zoo | --documents | --serve | --gpu) what=${1:-} ;;
  *) echo "usage: bash demo.sh [--tags | --zoo | --documents | --serve | --gpu]" >&2; exit 2 ;;
esac
preset=release cuda=() demo=demo device=()
if [ "$what" = --gpu ]; then
  nvidia-smi -L 2>/dev/null | grep -q '^GPU 0' || { echo "demo.sh --gpu: no GPU on this machine, or no driver (nvidia-smi -L lists none); bash demo.sh runs on the CPU" >&2; exit 1; }
  command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || { echo "== fetching CUDA"; bash tools/cuda.sh runs/cuda; cuda=(-D MUSTER_CUDA_ROOT=runs/cuda); }
  preset=cuda demo=demo-gpu device=(cluster.device=cuda name=demo-gpu out=runs/demo-gpu)
fi

need_packages "${BUILD_PACKAGES[@]}" python3 ca-certificates gnuplot-nox
use_ccache
[ "$what" != --gpu ] || need_packages g++
echo "== building"
cmake --preset $preset "${cuda[@]}" >/dev/null
cmake --build --preset $preset -- --quiet
PATH=$PWD/build/$preset:$PATH
[ "$what" != --gpu ] || muster-worker devices --device cuda || exit 1

mkdir -p runs
echo "== fetching the model"
fetch_model runs/minilm
echo "== making the demo's data from the Debian package index"
if [ "$what" = --zoo ]; then
  # The zoo's models and Russian texts (debian.py --language ru) take their places where their weights are there: muster run examples/zoo.json.
  [ -f runs/zoo.jsonl ] || python3 examples/debian.py tags runs/zoo.jsonl --parts --packages 3000
  echo "== muster run examples/zoo.json, with MiniLM in the place of DistilBERT and RuBERT: with and without the snippet, on one frozen split"
  muster run examples/zoo.json 'sweep.model=["runs/minilm"]' out=runs/zoo-minilm
  exit 0
fi
if [ "$what" = --documents ]; then
  [ -f runs/documents.jsonl ] || python3 examples/debian.py documents runs/documents.jsonl --packages 5000
  echo "== muster run examples/documents.json, with MiniLM and 512 tokens in place of Longformer's 4,096"
  muster run examples/documents.json model=runs/minilm train.max_length=512 train.lr=1e-4 train.micro_batch=8 out=runs/documents-minilm name=documents-minilm
  exit 0
fi
if [ "$what" = --tags ]; then
  [ -f runs/tags.jsonl ] || python3 examples/debian.py tags runs/tags.jsonl --packages 20000
  echo "== muster run examples/tags.json"
  muster run examples/tags.json
  echo "== muster predict"
  head -3 runs/tags.jsonl >runs/three-tags.jsonl
  muster predict runs/tags/bundle runs/three-tags.jsonl | cut -c -400
  cat <<'LAST'

Done. The model bundle is runs/tags/bundle, with a threshold for each label; runs/tags/report.html shows them all. Try next:
  build/release/muster rule runs/tags/bundle
  build/release/muster evaluate runs/tags/bundle runs/tags.jsonl --unseen --min-f1 0.10
LAST
  exit 0
fi
[ -f runs/pairs.jsonl ] || python3 examples/debian.py pairs runs/pairs.jsonl --links 500

echo "== muster run examples/demo.json ${device[*]}"
muster run examples/demo.json "${device[@]}"

echo "== muster predict"
cat >runs/three.jsonl <<'LINES'
{"sentence": "web framework for Python that renders templates and talks to databases", "ref_paper_title": "python3-jinja2", "ref_paper_authors": "Debian Python Team", "ref_paper_text": "small but fast and easy to use stand-alone template engine Jinja2 is a template engine written in pure Python."}
{"sentence": "web framework for Python that renders templates and talks to databases", "ref_paper_title": "fonts-dejavu-core", "ref_paper_authors": "Debian Fonts Task Force", "ref_paper_text": "Vera font family derivate with additional characters"}
{"sentence": "graphical music player that decodes Ogg Vorbis and shows album covers", "ref_paper_title": "libvorbisfile3", "ref_paper_authors": "Debian Multimedia Maintainers", "ref_paper_text": "high-level API for Vorbis General Audio Compression Codec decoding of compressed audio"}
LINES
muster predict runs/$demo/bundle runs/three.jsonl

if [ "$what" = --serve ]; then
  need_packages curl wrk
  echo "== muster serve runs/demo/bundle"
  muster serve runs/demo/bundle --port 0 2>runs/serve.log &
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  until grep -q '^muster: ready' runs/serve.log; do
    kill -0 "$server" 2>/dev/null || { cat runs/serve.log >&2; exit 1; }
    sleep 0.1
  done
  url=$(grep -oE 'http://[0-9.:]+' runs/serve.log | head -1)
  echo "== curl $url/classify"
  head -1 runs/three.jsonl | curl -sS "$url/classify" -H 'Content-Type: application/json' -d @-
  echo
  echo "== wrk: 8 clients, ten seconds"
  BODIES=runs/three.jsonl wrk -t 1 -c 8 -d 10 -s bench/serve.lua "$url/classify" | grep '^{' |
    sed -E 's/.*"requests_per_second": ([0-9.]+).*"p95_ms": ([0-9.]+), "failed": ([0-9]+).*/   \1 rows\/s, p95 \2 ms, \3 failed/'
  kill "$server"
  trap - EXIT
  wait "$server"
  tail -1 runs/serve.log
  exit 0
fi

cat <<LAST

Done. The model bundle is runs/$demo/bundle (and runs/$demo/$demo.zip): load it with transformers'
AutoModelForSequenceClassification.from_pretrained("runs/$demo/bundle"). Look at runs/$demo/table.md, and try next:
  build/$preset/muster evaluate runs/$demo/bundle runs/pairs.jsonl --unseen      # the rows it was neither trained nor tuned on
LAST
