# Shared by the scripts beside it; to be sourced.
# shellcheck shell=bash

say() { printf '\033[1m%s\033[0m %s\n' "==>" "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Waits until a command succeeds, at most so many seconds.
wait_for() {
  local seconds=$1 end
  shift
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# The mirror from which this machine has its own Debian, as apt is configured here.
debian_mirror() {
  # shellcheck disable=SC2016 # apt's own variables
  apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 == "main" && $3 !~ /-/ { print $4; exit }'
}

# Runs apt for a Debian suite from the same mirror, beside the machine's own apt: suite_apt SUITE FOLDER ARGUMENTS...
suite_apt() {
  local suite=$1 folder=$2 mirror
  shift 2
  if [ ! -s "$folder/sources.list" ]; then
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || die "no Debian mirror in this machine's apt sources; is this Debian?"
    mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial"
    : >"$folder/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$folder/sources.list"
    suite_apt "$suite" "$folder" -qq update
  fi
  apt-get -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o "Dir::State=$folder/state" -o "Dir::State::status=$folder/status" -o "Dir::Cache=$folder/cache" \
    -o APT::Sandbox::User=root "$@"
}

# Unpacks packages of a Debian suite into a folder: suite_unpack SUITE APT_FOLDER ROOT PACKAGES...
suite_unpack() {
  local suite=$1 apt=$2 root=$3 debs package
  shift 3
  debs=$apt/debs
  mkdir -p "$debs" "$root"
  for package in "$@"; do
    if ! compgen -G "$debs/${package}_*.deb" >/dev/null; then
      (cd "$debs" && suite_apt "$suite" "$apt" -qq download "$package") || die "cannot fetch $package"
    fi
    dpkg -x "$debs/${package}"_*.deb "$root"
  done
}
