#!/usr/bin/env bash
# Trains once on a RunPod pod with Kohya's scripts, uploads what it saves, and stops its own pod: when the training is
# over, when it has failed, and at the deadline. docs/runpod.md says how a template runs it.
#
# From whoever rents the pod:
#   PIXEL_LORA_RUN_URL            s3://bucket/folder of this training; config.toml lies there
#   PIXEL_LORA_OUTPUT_NAME        name of its checkpoints
#   PIXEL_LORA_DEADLINE_SECONDS   after this, the training is ended
# From the template:
#   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL   of the bucket
#   PIXEL_LORA_SHARED_URL         folder of the bucket that is copied to /workspace first: base models, pictures
#   PIXEL_LORA_SD_SCRIPTS         checkout of sd-scripts (/workspace/sd-scripts)
#   PIXEL_LORA_TRAIN_SCRIPT       train_network.py, or sdxl_train_network.py
#   PIXEL_LORA_WORK               where its files lie; on the volume, so that they outlive the container
# From RunPod: RUNPOD_POD_ID, and runpodctl with the right to stop this pod.
set -uo pipefail

url=${PIXEL_LORA_RUN_URL:?}
name=${PIXEL_LORA_OUTPUT_NAME:?}
deadline=${PIXEL_LORA_DEADLINE_SECONDS:?}
scripts=${PIXEL_LORA_SD_SCRIPTS:-/workspace/sd-scripts}
script=${PIXEL_LORA_TRAIN_SCRIPT:-train_network.py}
pause=${PIXEL_LORA_UPLOAD_SECONDS:-20}
work=${PIXEL_LORA_WORK:-/workspace/pixel-lora}/$(basename "$url")
output=$work/output
log=$work/training.log
mkdir -p "$output" && touch "$log"

stop_pod() {
    # RunPod starts a container again whose program ends, so this ends only with the pod. Newer versions of runpodctl
    # turn the words round.
    until runpodctl stop pod "$RUNPOD_POD_ID" || runpodctl pod stop "$RUNPOD_POD_ID"; do
        sleep "${PIXEL_LORA_STOP_SECONDS:-60}"
    done
    sleep infinity
}

upload() {
    tail -c 65536 "$log" >"$work/tail.log"
    aws s3 cp --only-show-errors "$work/tail.log" "$url/training.log"
    # Of two rules that fit, the later one counts.
    aws s3 sync --only-show-errors "$output" "$url" --exclude '*' --include '*.safetensors' --include '*.toml' \
        --include '*.json' --include '*events.out.tfevents*' --exclude '*-state/*'
}

end() { # exit status, reason
    for _ in 1 2 3 4 5; do upload && break || sleep "$pause"; done
    printf '{"exit_status": %d, "reason": "%s"}\n' "$1" "$2" >"$work/ended.json"
    aws s3 cp --only-show-errors "$work/ended.json" "$url/ended.json"
    stop_pod
}

# A container that was started again goes on with the same clock, and does not train twice.
[ -f "$work/ended.json" ] && stop_pod
[ -f "$work/started" ] || date +%s >"$work/started"
seconds_left() { echo $(($(cat "$work/started") + deadline - $(date +%s))); }
[ "$(seconds_left)" -gt 0 ] || end 124 "deadline"
# Whatever hangs below, the pod does not outlive its deadline by more than ten minutes.
(sleep $(($(seconds_left) + 600)) && stop_pod) &

command -v aws >/dev/null || pip install --quiet awscli
aws s3 cp --only-show-errors "$url/config.toml" "$work/config.toml" || end 1 "no configuration"
if [ -n "${PIXEL_LORA_SHARED_URL:-}" ]; then
    aws s3 sync --only-show-errors "$PIXEL_LORA_SHARED_URL" "${PIXEL_LORA_SHARED:-/workspace}" || end 1 "no shared files"
fi

cd "$scripts" || end 1 "no sd-scripts"
left=$(seconds_left)
[ "$left" -gt 0 ] || end 124 "deadline"
timeout --kill-after=60 "$left" accelerate launch --num_cpu_threads_per_process 1 "$script" \
    --config_file "$work/config.toml" --output_dir "$output" --output_name "$name" --save_model_as safetensors \
    --log_with tensorboard --logging_dir "$output/logs" >>"$log" 2>&1 &
training=$!
while kill -0 "$training" 2>/dev/null; do
    sleep "$pause"
    upload
done
wait "$training"
status=$?
case $status in
    0) end 0 "finished" ;;
    124 | 137) end "$status" "deadline" ;;
    *) end "$status" "failed" ;;
esac
