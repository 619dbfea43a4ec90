#!/bin/sh
# Holder of a copy of the environment on one node: holder.sh NAME PLACE…
# Makes PLACE/NAME in each place, reports the room there, keeps the one that the driver uses, unpacks the archive there
# and removes all at the end of its input, or after a signal. A copy whose lock is free was left by a killed holder.
umask 077
name=$1
shift
made=
room=
lock=3

# The traps call this, and no place has a space in its name.
# shellcheck disable=SC2086,SC2317
clean() {
    trap '' HUP INT TERM
    rm -rf $made
}

report() {
    printf '{"node": "%s", %s}\n' "$SLURMD_NODENAME" "$1"
}

trap clean EXIT
trap '' USR1 USR2 # which Slurm sends before the end of the job, when workers still run
trap 'exit 1' HUP INT TERM

for place; do
    directory=$place/$name
    free=-1
    # A directory that exists is another node's: this place is not the node's own.
    if mkdir "$directory" 2>/dev/null; then
        made="$made $directory"
        eval "exec $lock>\"\$directory/owner\""
        flock --nonblock "$lock"
        lock=$((lock + 1))
        # Where programs may not run, libraries cannot be loaded.
        printf '#!/bin/sh\n' >"$directory/program" && chmod 700 "$directory/program" &&
            "$directory/program" 2>/dev/null &&
            free=$(df -Pk "$directory" | tail -n 1 | { read -r _ _ _ free _ && echo "$free"; })
    fi
    room="$room${room:+, }$free"
done
report "\"holds\": \"$SLURM_JOB_ID.$SLURM_STEP_ID\", \"room\": [$room]"

# {"use": NUMBER}
read -r order || exit 0
number=${order##* }
number=${number%\}}
shift "$number"
used=$1/$name
for directory in $made; do
    [ "$directory" = "$used" ] || rm -rf "$directory"
done
settings=$used/env/pyvenv.cfg
if failure=$({ tar -xof "$used/archive" -C "$used" && rm "$used/archive" &&
    { [ ! -e "$settings" ] || sed -i "s|@HPCML_PLACE@|$used|" "$settings"; }; } 2>&1); then
    report '"unpacked": true'
else
    report "\"failed\": \"$(printf %s "$failure" | head -n 1 | tr -d '\\"' | tr -c '[:print:]' ' ')\""
fi
read -r _
exit 0
