#!/bin/sh
# A worker that takes its setup and ends, with words, at its first request.
read -r setup
echo '{"ok":{"rows":0,"duration_us":0}}'
read -r request
echo 'the disk is on fire' >&2
exit 3
