#!/bin/bash
# EMR bootstrap action, on every node: the interpreter that dist/environment.pex was packed with, and a place to unpack it.
#   aws emr create-cluster … --bootstrap-actions Path=s3://bucket/emr_bootstrap.sh
set -euo pipefail
sudo dnf install -y "python${1:-3.11}"
# The scanner is compiled once per machine, and the environment unpacked once: on the data disk where there is one.
place=/mnt/webpairs
[ -d /mnt ] || place=/var/tmp/webpairs
sudo install -d -m 1777 "$place" "$place/cache" "$place/pex"
