#!/bin/sh
# What the container runs. Watch mode restarts it when this file is saved.
echo '<p>Started by the first start.sh' >/pages/started.html
trap 'exit 0' TERM
httpd -f -p 8080 -h /pages &
wait
