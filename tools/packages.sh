# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Which Debian packages each purpose needs, and their installing. Sourced by `run`. When everything
# is there, apt is not called at all: it works offline and without any privilege.

packages_for() {
  case $1 in
    build)
      printf '%s\n' g++ cmake ninja-build pkg-config libdpdk-dev libxdp-dev libbpf-dev libelf-dev \
        libboost1.81-dev libyaml-cpp-dev prometheus-cpp-dev libprotobuf-dev protobuf-compiler \
        libcli11-dev libspdlog-dev libsystemd-dev libmnl-dev libnftables-dev python3
      ;;
    lab) printf '%s\n' python3 iproute2 nftables ethtool procps util-linux nginx-light wrk ;;
    test)
      printf '%s\n' libgtest-dev libgmock-dev librapidcheck-dev python3-pytest \
        python3-pytest-timeout python3-scapy python3-yaml tcpdump curl prometheus \
        clang-19 libclang-rt-19-dev dpdk \
        linux-image-amd64 qemu-system-x86 busybox-static bird2 frr keepalived kmod cpio \
        g++-aarch64-linux-gnu qemu-user
      ;;
    lint) printf '%s\n' clang-format-19 clang-tidy-19 clang-19 shellcheck pyflakes3 ;;
    bench)
      printf '%s\n' dpdk-dev haproxy libnginx-mod-stream openvswitch-switch-dpdk
      ;;
  esac
}

# The packages among the arguments that are not installed, one a line.
missing_packages() {
  local package
  local -A installed=()
  while read -r package; do
    installed[${package%%:*}]=1
  done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^installed //p')
  for package in "$@"; do
    [ -n "${installed[$package]:-}" ] || echo "$package"
  done
}

# need_packages VERB PURPOSE...  Installs what is missing, or says how and exits with 77.
need_packages() {
  local verb=$1 purpose
  local -a wanted=() missing=()
  shift
  for purpose in "$@"; do
    mapfile -t -O "${#wanted[@]}" wanted < <(packages_for "$purpose")
  done
  mapfile -t missing < <(missing_packages "${wanted[@]}" | sort -u)
  ((${#missing[@]})) || return 0
  echo "installing for ./run $verb: ${missing[*]}"
  local -a privilege=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      cannot_install "this needs root, and there is no sudo" "${missing[@]}"
    fi
    privilege=(sudo)
    [ -t 0 ] || privilege+=(--non-interactive)
  fi
  # In the foreground, because sudo may ask; apt is silent while it downloads, so a clock ticks.
  local clock failed=
  (while sleep 5 && kill -0 $$ 2>/dev/null; do echo "installing: $SECONDS s"; done) &
  clock=$!
  # shellcheck disable=SC2154  # root: set by `run`
  "${privilege[@]}" "$root/tools/install_packages" "${missing[@]}" </dev/null || failed=yes
  kill "$clock"
  wait "$clock" 2>/dev/null || true
  [ -z "$failed" ] || cannot_install "apt-get failed" "${missing[@]}"
}

cannot_install() {
  local why=$1
  shift
  {
    echo "missing packages: $*"
    echo "$why; install them with:"
    echo "  sudo apt-get update && sudo apt-get install --no-install-recommends $*"
  } >&2
  exit 77
}
