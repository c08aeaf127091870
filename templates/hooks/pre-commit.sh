#!/bin/sh
# retune hook: installed by `retune hook install`, removed by `retune hook uninstall`.
# Runs the hook that was here before, then checks the staged files for models that can change.
set -u

chained="$0.retune-chained"
if [ -x "$chained" ]; then
    "$chained" "$@" || exit $?
fi

retune='@RETUNE@'
if [ ! -x "$retune" ]; then
    retune=$(command -v retune) || {
        echo "retune hook: neither @RETUNE@ nor a retune on PATH can be run; nothing was checked." >&2
        echo "  Install retune again and run \`retune hook install\`, or remove this hook: $0" >&2
        exit 1
    }
fi
exec "$retune" hook exec pre-commit "$@"
