#!/bin/sh
# retune hook: installed by `retune hook install`, removed by `retune hook uninstall`.
# Runs the hook that was here before, then checks every pushed tip for models that can change.
set -u

# git tells both hooks on standard input what is pushed.
refs=$(cat)
pushed() {
    if [ -n "$refs" ]; then
        printf '%s\n' "$refs"
    fi
}

chained="$0.retune-chained"
if [ -x "$chained" ]; then
    pushed | "$chained" "$@" || exit $?
fi

retune='@RETUNE@'
if [ ! -x "$retune" ]; then
    retune=$(command -v retune) || {
        echo "retune hook: neither @RETUNE@ nor a retune on PATH can be run; nothing was checked." >&2
        echo "  Install retune again and run \`retune hook install\`, or remove this hook: $0" >&2
        exit 1
    }
fi
pushed | "$retune" hook exec pre-push "$@"
