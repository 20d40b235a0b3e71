#!/bin/bash
# Hostile builds, whole, under the limits of a cgroup: inside the virtual machine that cgroup.sh starts.
# Usage: rebuild.sh root|user|none    where there is no cgroup for "none"
who=$1
KILN=$(command -v kiln)
KILN_CACHE=/var/tmp/cache-$(id -u)
export KILN KILN_CACHE KILN_TOP=/srv/kiln KILN_PRIVATE=1 # all of /tmp is ours
mkdir -p "$KILN_CACHE"
[ -e "$KILN_CACHE/bootstrap" ] || ln -s /srv/bootstrap "$KILN_CACHE/bootstrap"
. "$(dirname "$0")/../e2e/pipeline.bash"
mounts >"$work/mounts"

of() { # NAME: the source package
        echo "/srv/srpm/$1"
}
is_so() { # JQ-CONDITION: of the last result
        jq -e "$1" "$last_out/result.json" >/dev/null
}
holds() { # NAME JQ-CONDITION
        check "$who: $1" is_so "$2"
}
if [ "$who" = none ]; then
        verdict "no cgroup: hard limits are refused" 6 REFUSED 'Delegate=yes' "$(of daemon)" --hard-limits --memory 100M
        verdict "no cgroup: limits that need not be hard" 0 OK '' "$(of daemon)" --memory 1G
        holds "the result says that no cgroup enforced them" '.peaks.cgroup | not'
        exit $failed
fi
verdict "$who: daemons" 0 OK '' "$(of daemon)" --hard-limits --memory 1G --processes 100
holds "the result says that a cgroup enforced the limits" '.peaks.cgroup'
holds "peaks of memory and processes" '(.peaks.memoryBytes | tonumber) > 1000000 and (.peaks.pids | tonumber) > 3'
verdict "$who: a fork bomb in %prep" 5 LIMIT 'pids limit of 60 reached \(peak 60\); in %prep' "$(of processes)" --processes 60 --wall 20s
holds "the peak of processes is the limit" '.peaks.pids == "60"'
verdict "$who: memory, eaten by one process whose end is ignored" 5 LIMIT 'memory limit of 104857600 bytes reached \(peak [0-9]+ bytes\); in %build' "$(of memory)" --memory 100M
holds "the peak of memory is the limit" '.peaks.memoryBytes | tonumber | . > 100000000 and . <= 104857600'
verdict "$who: memory, eaten by many processes" 5 LIMIT 'memory limit of 104857600 bytes reached' "$(of tree-memory)" --memory 100M
verdict "$who: what ignores SIGTERM" 5 LIMIT 'wall' "$(of deaf)" --wall 15s
check "$who: no process of theirs is left" test -z "$(pgrep -x 'sleep|tail|head')"
exit $failed
