#!/bin/sh
# Stops the pod it runs on at a deadline, for when nobody else is there to do it. Start it with the pod, before the
# training:   nohup sh watchdog.sh >/workspace/watchdog.log 2>&1 &
#
# The deadline lies on the pod's volume: a restart of the container does not move it. A pod that was stopped (by this
# script, or for more than ten minutes by anybody) gets a fresh one when it is resumed. Nothing is ever terminated or
# deleted: what lies on the volume stays.

limit=21600  # seconds

folder=${PIXEL_LORA_WATCHDOG_FOLDER:-/workspace}/.pixel_lora_watchdog
tick=${PIXEL_LORA_WATCHDOG_TICK:-30}      # seconds between two looks at the clock
away=${PIXEL_LORA_WATCHDOG_AWAY:-600}     # who was silent for longer was stopped and resumed
init=${PIXEL_LORA_WATCHDOG_INIT:-1}       # the process with which the container ends
trainer=${PIXEL_LORA_WATCHDOG_TRAINER:-train_network.py}
api=${PIXEL_LORA_WATCHDOG_API:-https://api.runpod.io/v2}

say() { echo "$(date -u '+%Y-%m-%dT%H:%M:%SZ') watchdog: $*"; }
read_number() { case $(cat "$folder/$1" 2>/dev/null) in '' | *[!0-9]*) return 1 ;; *) cat "$folder/$1" ;; esac; }
write_number() { echo "$2" >"$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"; }
arm() {
    deadline=$(($1 + limit))
    rm -f "$folder/fired"
    write_number deadline "$deadline"
    say "armed: the pod is stopped in $limit seconds"
}

stop_pod() {
    if [ -n "${RUNPOD_POD_ID:-}" ]; then
        # Of its two word orders this is the one that works inside a pod (github.com/runpod/runpodctl/issues/293).
        # An answer is not believed for ever: who is still here some looks later tries the next way.
        if [ "$tries" -lt 4 ] && command -v runpodctl >/dev/null && runpodctl stop pod "$RUNPOD_POD_ID"; then
            say "runpodctl has accepted the stop"
            return 0
        fi
        # The key goes through a pipe: arguments can be read by every process of the pod.
        if [ "$tries" -lt 8 ] && [ -n "${RUNPOD_API_KEY:-}" ] && command -v curl >/dev/null &&
            printf 'header = "Authorization: Bearer %s"\n' "$RUNPOD_API_KEY" |
            curl -fsS -m 30 -K - -X POST -H 'Content-Type: application/json' -d '{"action":"stop"}' \
                "$api/pods/$RUNPOD_POD_ID/action" >/dev/null; then
            say "the API has accepted the stop"
            return 0
        fi
    fi
    say "the pod cannot be stopped from here: ending the training and the container"
    rm -f "$folder/fired"
    if command -v pkill >/dev/null; then pkill -TERM -f "$trainer"; sleep "$tick"; fi
    if command -v poweroff >/dev/null && poweroff; then return 1; fi
    kill -TERM "$init"
    return 1  # a container that ends may be started again: only a stopped pod is
}

if ! mkdir -p "$folder"; then
    say "$folder cannot be made: the deadline will not survive a restart"
    folder=${TMPDIR:-/tmp}/.pixel_lora_watchdog
    mkdir -p "$folder"
fi
tries=0
now=$(date +%s)
if deadline=$(read_number deadline) && seen=$(read_number seen) && [ ! -e "$folder/fired" ] &&
    [ $((now - seen)) -le "$away" ]; then
    say "goes on: $((deadline - now)) seconds are left"
else
    arm "$now"
fi
write_number seen "$now"

while :; do
    last=$now
    now=$(date +%s)
    # A clock that is set back gives the pod no more time.
    if [ "$now" -lt "$last" ]; then
        deadline=$((deadline - last + now))
        write_number deadline "$deadline"
    fi
    write_number seen "$now"
    if [ "$now" -ge "$deadline" ]; then
        say "the deadline is reached"
        if stop_pod; then : >"$folder/fired"; fi
        tries=$((tries + 1))
    fi
    sleep "$tick"
done
